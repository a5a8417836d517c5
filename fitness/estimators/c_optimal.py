"""Estimator `c_optimal`: a multidimensional 2PL whose next item is the one that tells most about the score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Matrix, Places, References, Scores
from ..response_model.ability import Posterior, Prior, posterior
from ..response_model.joint import Priors, fit_joint
from ..response_model.logistic import Items, averaged, sigmoid
from .base import CalibratedEstimator

FEW, MANY = 10.0, 40.0
"""Below `FEW` items the fit of few dimensions is used, above `MANY` that of many; between them both."""


class COptimal(CalibratedEstimator):
    """Asks what lowers the variance of the score most (c-optimal design), reads the score out of the posterior.

    Two response models are fitted, of few and of many dimensions: few need fewer answers to be found, many
    describe the models better. What each says is averaged; the weight of the second grows with the answers.

    Args:
        seed: of the calibration.
        dimensions: of both models' abilities; None: 2 and 4, or fewer if there are few references.
        loading_precision: of the prior on loadings, see `Priors`.
        intercept_precision: of the prior on intercepts.
        prior_scale: a candidate's abilities are expected to spread this many times as much (in variance) as the
            references'.
        score_scale: along the direction in which the score grows, this many times as much again: candidates are
            bred to be better than the references.
    """

    name = "c_optimal"
    adaptive = True
    least_references = 5

    views: tuple[View, ...]

    def __init__(
        self,
        seed: int = 0,
        dimensions: int | None = None,
        loading_precision: float = 16.0,
        intercept_precision: float = 0.1,
        prior_scale: float = 2.0,
        score_scale: float = 3.0,
    ) -> None:
        super().__init__(
            seed,
            dimensions=dimensions,
            loading_precision=loading_precision,
            intercept_precision=intercept_precision,
            prior_scale=prior_scale,
            score_scale=score_scale,
        )
        self.dimensions = dimensions
        self.priors = Priors(loading_precision, intercept_precision)
        self.prior_scale = prior_scale
        self.score_scale = score_scale

    def _learn(self, references: References) -> None:
        self.views = tuple(self._view(references, dimensions) for dimensions in self._sizes(references))

    def _sizes(self, references: References) -> list[int]:
        if self.dimensions is not None:
            return [self.dimensions]
        most = max(1, len(references.responses) // 5)
        return sorted({min(2, most), min(4, most)})

    def _view(self, references: References, dimensions: int) -> View:
        # Importance counts in the prior alone: items fitted to few models many times over would fit only them.
        fit = fit_joint(references.responses, dimensions, self.priors)
        prior = Prior.of(fit.abilities, references.importance, self.prior_scale)
        slope = score_slope(fit.items, prior.mean[None], references.weights)[0]
        return View(fit.items, prior.widened(slope, self.score_scale), references.weights)

    def _shares(self, asked: Places) -> list[Matrix]:
        """How much each view counts, for candidates that were asked so many items."""
        if len(self.views) == 1:
            return [np.ones(len(asked))]
        many = np.clip(np.log(np.maximum(asked, 1) / FEW) / np.log(MANY / FEW), 0.0, 1.0)
        return [1.0 - many, many]

    def _believe(self, responses: Matrix) -> Scores:
        shares = self._shares(np.isfinite(responses).sum(axis=1))
        found = [view.read(responses, view.posterior(responses)) for view in self.views]
        mean = sum(share * scores.mean for share, scores in zip(shares, found, strict=True))
        second = sum(
            share * (scores.standard_error**2 + (scores.mean - mean) ** 2)
            for share, scores in zip(shares, found, strict=True)
        )
        return Scores(np.asarray(mean), np.sqrt(second))

    def next_items(self, responses: Matrix, count: int) -> Places:
        """The items that tell most about the score, given the responses so far; see the contract."""
        asked = np.isfinite(responses)
        count = min(count, int((~asked).sum(axis=1).min(initial=asked.shape[1])))
        same = len(responses) > 1 and not asked.any()
        known = responses[:1] if same else responses
        asked = asked[: len(known)]
        shares = self._shares(np.isfinite(known).sum(axis=1))
        designs = [Design(view, view.posterior(known)) for view in self.views]
        chosen = np.empty((len(known), count), np.intp)
        for turn in range(count):
            gain = sum(share[:, None] * design.gain() for share, design in zip(shares, designs, strict=True))
            chosen[:, turn] = np.argmax(np.where(asked, -np.inf, gain), axis=1)
            asked[np.arange(len(known)), chosen[:, turn]] = True
            for design in designs:
                design.ask(chosen[:, turn])
        return np.repeat(chosen, len(responses), axis=0) if same else chosen

    def predict(self, responses: Matrix) -> Matrix:
        """Expected responses; see the contract."""
        shares = self._shares(np.isfinite(responses).sum(axis=1))
        found = [view.predict(view.posterior(responses)) for view in self.views]
        return np.asarray(sum(share[:, None] * right for share, right in zip(shares, found, strict=True)))

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        kept: dict[str, npt.NDArray[Any]] = {}
        for place, view in enumerate(self.views):
            kept[f"{place}.loadings"] = view.items.loadings
            kept[f"{place}.intercepts"] = view.items.intercepts
            kept[f"{place}.mean"] = view.prior.mean
            kept[f"{place}.covariance"] = view.prior.covariance
        return kept

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.views = tuple(
            View(
                Items(state[f"{place}.loadings"], state[f"{place}.intercepts"]),
                Prior(state[f"{place}.mean"], state[f"{place}.covariance"]),
                self.references.weights,
            )
            for place in range(len(state) // 4)
        )


def score_slope(items: Items, abilities: Matrix, weights: Matrix) -> Matrix:
    """Shape (candidates, dimensions): g = sum_i w_i W_i a_i, how the score grows with the abilities."""
    right = sigmoid(items.logits(abilities))
    slope: Matrix = (weights * right * (1.0 - right)) @ items.loadings
    return slope


@dataclass(frozen=True)
class View:
    """A fitted response model of some number of dimensions, and the weights of the items in the score."""

    items: Items
    prior: Prior
    weights: Matrix

    def posterior(self, responses: Matrix) -> Posterior:
        """Abilities of the candidates."""
        return posterior(responses, self.items, self.prior)

    def predict(self, found: Posterior) -> Matrix:
        """Shape (candidates, items): expected responses."""
        return averaged(self.items.logits(found.mean), self.items.spreads(found.covariance))

    def read(self, responses: Matrix, found: Posterior) -> Scores:
        """What was observed, and what is expected of the rest."""
        asked = np.isfinite(responses)
        rest = np.where(asked, 0.0, self.weights)
        mean = (np.where(asked, responses, self.predict(found)) * self.weights).sum(axis=1)
        right = sigmoid(self.items.logits(found.mean))
        spread = right * (1.0 - right)
        slope = (rest * spread) @ self.items.loadings
        variance = np.einsum("ci,cij,cj->c", slope, found.covariance, slope) + (rest**2 * spread).sum(axis=1)
        return Scores(mean, np.sqrt(np.maximum(variance, 0.0)))


class Design:
    """Which item lowers the variance of each candidate's score most, while items are asked without being answered.

    Gain of item i: W_i (g' S a_i)^2 / (1 + W_i a_i' S a_i) + w_i^2 W_i, with W = P (1 - P) and g = sum_i w_i W_i a_i,
    the gradient of the score (c-optimal design: Silvey, 1980).
    """

    def __init__(self, view: View, found: Posterior) -> None:
        self.items = view.items
        right = sigmoid(self.items.logits(found.mean))
        self.spread = right * (1.0 - right)
        self.slope = score_slope(self.items, found.mean, view.weights)
        self.own = view.weights**2 * self.spread
        self.covariance = found.covariance.copy()

    def gain(self) -> Matrix:
        """Shape (candidates, items), as if no item had been asked."""
        along = (self.slope[:, None] @ self.covariance)[:, 0] @ self.items.loadings.T
        across = self.items.spreads(self.covariance)
        gain: Matrix = self.spread * along**2 / (1.0 + self.spread * across) + self.own
        return gain

    def ask(self, chosen: Places) -> None:
        """Lowers the covariance by what each candidate's item will tell, whatever the answer."""
        rows = np.arange(len(chosen))
        loadings = self.items.loadings[chosen]
        ahead = (self.covariance @ loadings[..., None])[..., 0]
        weight = self.spread[rows, chosen]
        rate = weight / (1.0 + weight * (loadings * ahead).sum(axis=1))
        self.covariance -= rate[:, None, None] * ahead[:, :, None] * ahead[:, None, :]
