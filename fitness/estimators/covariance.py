"""How items' responses vary together over models: a covariance matrix, shrunk towards independent items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from ...core.contracts.estimator import Matrix, Places, References

USUAL_CORRELATION = 0.15
"""Between two items of a test, over models."""
USUAL_MODELS = 2.0
"""How many models that counts as."""


class Covariance(Protocol):
    """A positive definite matrix of shape (items, items), which may not be held as one."""

    @property
    def diagonal(self) -> Matrix:
        """Shape (items,)."""

    def column(self, item: int) -> Matrix:
        """Shape (items,)."""

    def times(self, vector: Matrix) -> Matrix:
        """Shape (items,): the product with a vector of that shape."""

    def cross(self, items: Places, values: Matrix) -> Matrix:
        """Shape (items, k): the columns of some items, times values of shape (some, k)."""

    def solve(self, items: Places, values: Matrix) -> Matrix:
        """Shape (some, k): the inverse of the block of some items, times values of shape (some, k)."""

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """As arrays."""


class DenseCovariance:
    """One that is held as a matrix."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix

    @classmethod
    def of(
        cls, deviations: Matrix, common: Matrix, shrinkage: float, widening: float, weights: Matrix
    ) -> DenseCovariance:
        """The covariance of models' deviations, with its diagonal kept and the rest shrunk.

        Args:
            deviations: shape (models, items), of which the products' sum over models is the covariance.
            common: shape (items,): it is shrunk towards the products of these; 0 for items that vary on their own.
            shrinkage: 0..1, how far.
            widening: >= 1, what the score's variance is multiplied with, in the direction in which items vary with it.
            weights: shape (items,), of the score.
        """
        matrix = (1.0 - shrinkage) * (deviations.T @ deviations) + shrinkage * np.outer(common, common)
        np.fill_diagonal(matrix, item_variances(deviations))
        if widening > 1.0:
            slope = matrix @ weights
            matrix += np.outer(slope, slope) * ((widening - 1.0) / (weights @ slope))
        return cls(matrix)

    @property
    def diagonal(self) -> Matrix:
        """Shape (items,)."""
        return self.matrix.diagonal()

    def column(self, item: int) -> Matrix:
        """Shape (items,)."""
        column: Matrix = self.matrix[item]
        return column

    def times(self, vector: Matrix) -> Matrix:
        """Shape (items,)."""
        product: Matrix = self.matrix @ vector
        return product

    def cross(self, items: Places, values: Matrix) -> Matrix:
        """Shape (items, k)."""
        product: Matrix = self.matrix[items].T @ values
        return product

    def solve(self, items: Places, values: Matrix) -> Matrix:
        """Shape (some, k)."""
        solution: Matrix = cho_solve(cho_factor(self.matrix[np.ix_(items, items)], lower=True), values)
        return solution

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """As arrays."""
        return {"matrix": self.matrix}


def weighted_deviations(references: References) -> tuple[Matrix, Matrix]:
    """Shapes (items,) and (models, items): the weighted mean response to each item, and deviations from it.

    The deviations are scaled so that the sum of their products is the unbiased weighted covariance.
    """
    shares = references.importance / references.importance.sum()
    mean = shares @ references.responses
    scale = np.sqrt(shares / max(1.0 - (shares**2).sum(), 1e-12))
    return mean, scale[:, None] * (references.responses - mean)


def item_variances(deviations: Matrix) -> Matrix:
    """Shape (items,): variances; an item that all models answered alike is not certain to stay so.

    Half a model more may have answered otherwise (Jeffreys): 2 / (models + 1) of a typical variance.
    """
    variances = np.square(deviations).sum(axis=0)
    typical = variances.mean() if variances.any() else 0.25
    floored: Matrix = np.maximum(variances, 2.0 * typical / (len(deviations) + 1))
    return floored


def one_ability(deviations: Matrix, weights: Matrix) -> Matrix:
    """Shape (items,): how far items move with one ability that they all share, if each pair correlates alike.

    The correlation is the mean over pairs (constant-correlation target of Ledoit and Wolf, Honey, I Shrunk the Sample
    Covariance Matrix, 2004), which of few models is drawn towards one that is usual for tests.
    """
    models, own = len(deviations), np.square(deviations).sum(axis=0)
    variances = item_variances(deviations)
    spread = np.sqrt(variances)
    between = np.square(deviations @ weights).sum() - np.square(weights) @ own
    room = (weights @ spread) ** 2 - np.square(weights) @ variances
    correlation = np.clip(between / room, 0.0, 0.9) if room > 0 else 0.0
    drawn = (models * correlation + USUAL_MODELS * USUAL_CORRELATION) / (models + USUAL_MODELS)
    shared: Matrix = np.sqrt(drawn) * spread
    return shared
