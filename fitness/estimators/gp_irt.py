"""Estimator `gp_irt`: anchors, and item response theory as far as it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Matrix, Places, References, Scores
from ...core.errors import ConfigurationError
from .anchors import Anchors
from .base import CalibratedEstimator
from .p_irt import PIrt
from .random_mean import RandomMean

HELD_OUT = 5
"""One in so many references shows how far item response theory is off."""


class GpIrt(CalibratedEstimator):
    """lambda * direct + (1 - lambda) * p-IRT, with lambda = b^2 / (v / (4 n) + b^2) (gp-IRT; Maia Polo et al., 2024).

    `direct` is the weighted sum of n anchors. v is the variance of a model's responses over items, mean over the
    references; b is the mean absolute error with which p-IRT, told the even items, expects the odd ones of held-out
    references: its misfit, which does not vanish with more items. The 4 is the published guess of what clustering does
    to v; it is 1 where items are random. Unlike the published one, p-IRT takes the mean over the ability's posterior.

    The standard error is the same mean of both standard errors, as if both were off the same way.

    Args:
        seed: of anchors, order and held-out references.
        items: what is asked: `anchors`, or `random` ones (then `direct` is their mean).
        share: lambda, 0 to 1. Default: from the formula.

    Raises:
        ConfigurationError: an option is none of these.
    """

    name: ClassVar[str] = "gp_irt"
    least_references = 5

    def __init__(self, seed: int = 0, items: str = "anchors", share: float | None = None, **options: Any) -> None:
        super().__init__(seed, items=items, share=share, **options)
        if items not in ("anchors", "random"):
            raise ConfigurationError(f"items are {items!r}; they are `anchors` or `random`")
        if share is not None and not 0.0 <= share <= 1.0:
            raise ConfigurationError(f"share is {share}; it is between 0 and 1")
        self.share = share
        self.direct: CalibratedEstimator = Anchors(seed) if items == "anchors" else RandomMean(seed)
        self.model = self._response_model()
        self._reduction = 4.0 if items == "anchors" else 1.0

    def _response_model(self) -> PIrt:
        return PIrt(self.seed)

    def _learn(self, references: References) -> None:
        self.direct.fit_uncalibrated(references)
        self.model.fit_uncalibrated(references)
        complete = references.take(np.flatnonzero(references.complete))
        variance = complete.responses**2 @ complete.weights - complete.scores**2
        self.variance = float(np.average(variance, weights=complete.importance))
        self.misfit = self._misfit(references)

    def _misfit(self, references: References) -> float:
        complete = np.flatnonzero(references.complete)
        held = np.random.default_rng(self.seed).permutation(complete)[::HELD_OUT]
        held = held[: len(complete) - self.least_references]
        learner = PIrt(self.seed)
        learner.fit_uncalibrated(references.take(np.setdiff1d(np.arange(len(references.responses)), held)))
        tested = held if len(held) else complete
        even = np.arange(references.responses.shape[1]) % 2 == 0
        answers, weights = references.responses[tested], np.where(even, 0.0, references.weights)
        expected = learner.predict(np.where(even, answers, np.nan))
        off = np.abs((answers - expected) @ weights) / max(weights.sum(), 1e-12)
        return float(np.average(off, weights=references.importance[tested]))

    def next_items(self, responses: Matrix, count: int) -> Places:
        """Anchors (or random items); see the contract."""
        return self.direct.next_items(responses, count)

    def predict(self, responses: Matrix) -> Matrix:
        """The same mean of both expectations; see the contract."""
        share = self._shares(responses)[:, None]
        return share * self.direct.predict(responses) + (1.0 - share) * self.model.predict(responses)

    def _believe(self, responses: Matrix) -> Scores:
        share = self._shares(responses)
        direct, model = self.direct.estimate(responses), self.model.estimate(responses)
        return Scores(
            share * direct.mean + (1.0 - share) * model.mean,
            share * direct.standard_error + (1.0 - share) * model.standard_error,
        )

    def _shares(self, responses: Matrix) -> Matrix:
        """Shape (candidates,): lambda."""
        asked = np.isfinite(responses).sum(axis=1)
        if self.share is not None:
            return np.where(asked, self.share, 0.0)
        trusted = self._reduction * asked * self.misfit**2
        return np.asarray(trusted / np.maximum(self.variance + trusted, 1e-12))

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        return {
            **{f"direct.{name}": value for name, value in self.direct.state().items()},
            **{f"response_model.{name}": value for name, value in self.model.state().items()},
            "variance": np.array(self.variance),
            "misfit": np.array(self.misfit),
        }

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        for part, estimator in (("direct.", self.direct), ("response_model.", self.model)):
            estimator.restore({name.removeprefix(part): state[name] for name in state if name.startswith(part)})
        self.variance, self.misfit = float(state["variance"]), float(state["misfit"])
