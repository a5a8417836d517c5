"""Maximum a posteriori abilities of new models by Newton's method, for a whole batch that was asked different items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.contracts.estimator import Matrix, Places
from .logistic import Items, sigmoid, softplus

STEPS = 50
LONGEST = 2.0
"""A Newton step is no longer than this many of the prior's standard deviations."""
HALVINGS = 8
CLOSE = 1e-7


@dataclass(frozen=True)
class Prior:
    """What is expected of a model's abilities before it is asked: normal.

    Attributes:
        mean: shape (dimensions,).
        covariance: shape (dimensions, dimensions), positive definite.
    """

    mean: Matrix
    covariance: Matrix

    @classmethod
    def of(cls, abilities: Matrix, importance: Matrix, scale: float = 2.0) -> Prior:
        """The weighted mean of known abilities, and `scale` times their covariance.

        A little is added to the diagonal, so that one model, or equal ones, give a prior too.
        """
        shares = importance / importance.sum()
        mean = shares @ abilities
        off = abilities - mean
        covariance = (off * shares[:, None]).T @ off
        least = 1e-3 * max(float(np.trace(covariance)) / len(mean), 1e-3)
        return cls(mean, scale * (covariance + least * np.eye(len(mean))))

    def widened(self, slope: Matrix, scale: float) -> Prior:
        """The variance of slope . theta becomes `scale` (>= 1) times as large; what does not vary with it stays."""
        along = self.covariance @ slope
        variance = float(slope @ along)
        if variance <= 0.0:
            return self
        return Prior(self.mean, self.covariance + (scale - 1.0) / variance * np.outer(along, along))


@dataclass(frozen=True)
class Posterior:
    """Abilities of several models, as normal distributions (Laplace's approximation).

    Attributes:
        mean: shape (models, dimensions).
        covariance: shape (models, dimensions, dimensions): the inverse Hessian at the mean.
    """

    mean: Matrix
    covariance: Matrix


def posterior(responses: Matrix, items: Items, prior: Prior) -> Posterior:
    """The most likely abilities given responses and prior.

    Args:
        responses: shape (models, items), in [0, 1]; NaN where not asked.
        items: the items' parameters.
        prior: of the abilities.
    """
    places, asked = _asked_first(responses)
    answers = np.where(asked, np.take_along_axis(responses, places, axis=1), 0.0)
    asking = _Asking(items.loadings[places] * asked[..., None], items.intercepts[places], answers, asked, prior)
    abilities: Matrix = np.repeat(prior.mean[None], len(responses), axis=0)
    root = np.linalg.cholesky(asking.precision)
    loss = asking.loss(abilities)
    active = np.arange(len(responses))
    for _ in range(STEPS):
        now = asking.only(active)
        gradient, hessian = now.slopes(abilities[active])
        step: Matrix = np.asarray(np.linalg.solve(hessian, -gradient[..., None])[..., 0], np.float64)
        length: Matrix = np.sqrt(((step @ root) ** 2).sum(axis=1))
        step *= np.minimum(1.0, LONGEST / np.maximum(length, 1e-300))[:, None]
        abilities[active], loss[active] = _downhill(now, abilities[active], step, loss[active])
        active = active[length > CLOSE]
        if len(active) == 0:
            break
    _, hessian = asking.slopes(abilities)
    return Posterior(abilities, _inverse(hessian))


@dataclass(frozen=True)
class _Asking:
    """The items that each model was asked, side by side: shapes (models, most asked, ...); the rest is masked."""

    loadings: Matrix
    intercepts: Matrix
    answers: Matrix
    asked: Matrix
    prior: Prior

    @property
    def precision(self) -> Matrix:
        return _inverse(self.prior.covariance)

    def only(self, models: Places) -> _Asking:
        if len(models) == len(self.answers):
            return self
        return _Asking(
            self.loadings[models], self.intercepts[models], self.answers[models], self.asked[models], self.prior
        )

    def logits(self, abilities: Matrix) -> Matrix:
        found: Matrix = (self.loadings @ abilities[..., None])[..., 0] + self.intercepts
        return found

    def loss(self, abilities: Matrix) -> Matrix:
        """Shape (models,): the negative logarithm of the posterior, up to a constant."""
        logits = self.logits(abilities)
        off = abilities - self.prior.mean
        likelihood = ((softplus(logits) - self.answers * logits) * self.asked).sum(axis=1)
        found: Matrix = likelihood + 0.5 * ((off @ self.precision) * off).sum(axis=1)
        return found

    def slopes(self, abilities: Matrix) -> tuple[Matrix, Matrix]:
        """Gradients and Hessians of `loss`."""
        right = sigmoid(self.logits(abilities))
        turned = np.swapaxes(self.loadings, 1, 2)
        off = abilities - self.prior.mean
        gradient: Matrix = (turned @ (right - self.answers)[..., None])[..., 0] + off @ self.precision
        hessian: Matrix = (turned * (right * (1.0 - right))[:, None]) @ self.loadings + self.precision
        return gradient, hessian


def _inverse(matrices: Matrix) -> Matrix:
    """Of symmetric matrices, exactly symmetric."""
    found: Matrix = np.asarray(np.linalg.inv(matrices), np.float64)
    return 0.5 * (found + np.swapaxes(found, -1, -2))


def _asked_first(responses: Matrix) -> tuple[Places, Matrix]:
    """Places of the items that each model was asked, padded to the same number, and 1.0 where they are no padding."""
    asked = np.isfinite(responses)
    most = int(asked.sum(axis=1).max(initial=0))
    places = np.argsort(~asked, axis=1, kind="stable")[:, :most]
    return places, np.take_along_axis(asked, places, axis=1).astype(np.float64)


def _downhill(asking: _Asking, abilities: Matrix, step: Matrix, loss: Matrix) -> tuple[Matrix, Matrix]:
    """A step, halved for the models whose loss it would raise until it does not."""
    size = np.ones(len(step))
    for _ in range(HALVINGS):
        new = abilities + size[:, None] * step
        lower = asking.loss(new)
        worse = lower > loss + 1e-12 * np.abs(loss)
        if not worse.any():
            return new, lower
        size[worse] *= 0.5
    return np.where(worse[:, None], abilities, new), np.where(worse, loss, lower)
