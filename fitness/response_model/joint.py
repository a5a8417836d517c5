"""Fits the 2PL in any number of dimensions: joint maximum a posteriori of abilities and item parameters.

Minimises, over references r and items i,
    sum_r v_r [ sum_i softplus(z_ri) - y_ri z_ri + |theta_r|^2 / 2 ]
    + loading_precision / 2 sum_i |a_i - mean a|^2 + sum_r v_r |mean a|^2 / 2
    + intercept_precision / 2 sum_i (d_i - mean d)^2,
with z = theta a' + d and importances v. Items are drawn to the mean item, not to one that tells nothing: an item that
no reference has solved is then expected to be solved by a model that is better than all of them. The terms in theta
and a penalise the nuclear norm of theta a' (Srebro et al., 2005): dimensions without support vanish.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ...core.contracts.estimator import Matrix
from .logistic import Items


@dataclass(frozen=True)
class Priors:
    """Precisions (1 / variance) of loadings and of intercepts about their means; that of abilities is 1."""

    loading_precision: float = 16.0
    intercept_precision: float = 0.1


@dataclass(frozen=True)
class Fit:
    """What was found.

    Attributes:
        abilities: shape (references, dimensions).
        items: the items' parameters.
    """

    abilities: Matrix
    items: Items


class Loss:
    """What `fit_joint` minimises, and its gradient, in one flat vector of abilities, loadings and intercepts.

    Args:
        responses: shape (references, items), in [0, 1]; NaN where not asked.
        importance: shape (references,).
        dimensions: of the abilities.
        priors: see `Priors`.
    """

    def __init__(self, responses: Matrix, importance: Matrix, dimensions: int, priors: Priors) -> None:
        self.asked = np.isfinite(responses)
        self.complete = bool(self.asked.all())
        self.responses = np.where(self.asked, responses, 0.0)
        self.shares = self.asked * importance[:, None]
        self.importance = importance
        self.priors = priors
        self.dimensions = dimensions
        self.models = float(importance.sum())

    def split(self, flat: Matrix) -> tuple[Matrix, Matrix, Matrix]:
        """Views of abilities, loadings and intercepts."""
        models, items = self.responses.shape
        middle, end = models * self.dimensions, (models + items) * self.dimensions
        shape = (-1, self.dimensions)
        return flat[:middle].reshape(shape), flat[middle:end].reshape(shape), flat[end:]

    def __call__(self, flat: Matrix) -> tuple[float, Matrix]:
        """The loss and its gradient at `flat`."""
        abilities, loadings, intercepts = self.split(flat)
        logits = abilities @ loadings.T
        logits += intercepts
        right = np.tanh(0.5 * logits)
        likelier = 0.5 + 0.5 * np.abs(right)
        if not self.complete:
            likelier[~self.asked] = 1.0
        fit = -np.vdot(self.importance, _log_products(likelier))
        fit += np.vdot(self.shares, np.maximum(logits, 0.0) - self.responses * logits)
        wrong = 0.5 * right + (0.5 - self.responses)
        wrong *= self.shares
        typical = loadings.mean(axis=0)
        apart = loadings - typical
        off = intercepts - intercepts.mean()
        loading, intercept = self.priors.loading_precision, self.priors.intercept_precision
        pulled = self.importance[:, None] * abilities
        loss = fit + 0.5 * (
            np.vdot(pulled, abilities)
            + loading * np.vdot(apart, apart)
            + self.models * np.vdot(typical, typical)
            + intercept * np.vdot(off, off)
        )
        gradient = np.concatenate(
            [
                (wrong @ loadings + pulled).ravel(),
                (wrong.T @ abilities + loading * apart + self.models / len(loadings) * typical).ravel(),
                wrong.sum(axis=0) + intercept * off,
            ]
        )
        return float(loss), gradient

    def start(self) -> Matrix:
        """From the singular vectors of the residuals of a model without abilities."""
        asked, right = self.shares.sum(axis=0), (self.responses * self.shares).sum(axis=0)
        overall = (right.sum() + 0.5) / (asked.sum() + 1.0)
        means = (right + overall) / (asked + 1.0)
        spread = np.sqrt(np.maximum(means * (1.0 - means), 0.01))
        residuals = (self.responses - means) / spread * self.asked * np.sqrt(self.importance)[:, None]
        left, values, turned = np.linalg.svd(residuals, full_matrices=False)
        kept = min(self.dimensions, len(values))
        size = np.sqrt(values[:kept])
        abilities = np.zeros((len(residuals), self.dimensions))
        loadings = np.zeros((residuals.shape[1], self.dimensions))
        abilities[:, :kept] = left[:, :kept] * size / np.sqrt(self.importance)[:, None]
        loadings[:, :kept] = turned[:kept].T * size
        intercepts = np.log(means / (1.0 - means))
        return np.concatenate([abilities.ravel(), loadings.ravel(), intercepts])


def fit_joint(
    responses: Matrix,
    dimensions: int,
    priors: Priors = Priors(),
    importance: Matrix | None = None,
    start: Fit | None = None,
    steps: int = 150,
    tolerance: float = 1e-5,
) -> Fit:
    """Fits abilities and items together.

    Args:
        responses: shape (references, items), in [0, 1]; NaN where a reference was not asked.
        dimensions: of the abilities.
        priors: see `Priors`.
        importance: shape (references,): how much each counts. Default: equal.
        start: where to begin, of the same shapes. Default: singular vectors.
        steps: of L-BFGS (Liu and Nocedal, 1989), at most.
        tolerance: it stops when a step lowers the loss by less than this share.
    """
    models = len(responses)
    loss = Loss(responses, np.ones(models) if importance is None else importance, dimensions, priors)
    first = loss.start() if start is None else _flat(start)
    found = minimize(
        loss,
        first,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "maxcor": 20, "ftol": tolerance, "gtol": 1e-3},
    )
    abilities, loadings, intercepts = loss.split(found.x)
    return Fit(abilities.copy(), Items(loadings.copy(), intercepts.copy()))


def _flat(fit: Fit) -> Matrix:
    return np.concatenate([fit.abilities.ravel(), fit.items.loadings.ravel(), fit.items.intercepts])


def _log_products(probabilities: Matrix) -> Matrix:
    """Shape (models,): sums of logarithms of numbers between 1/2 and 1, by few logarithms of products."""
    starts = np.arange(0, probabilities.shape[1], 500)  # 2^-500 is still a normal number
    found: Matrix = np.log(np.multiply.reduceat(probabilities, starts, axis=1)).sum(axis=1)
    return found
