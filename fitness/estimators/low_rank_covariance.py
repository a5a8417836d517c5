"""A covariance of more items than a matrix can hold: a few factors, and what they leave to each item by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, svd

from ...core.contracts.estimator import Matrix, Places
from .covariance import item_variances


class LowRankCovariance:
    """`factors' factors`, plus a diagonal; blocks are inverted by Woodbury's identity.

    Attributes:
        factors: shape (rank, items).
        own: shape (items,), positive: each item's variance by itself.
    """

    def __init__(self, factors: Matrix, own: Matrix) -> None:
        self.factors = factors
        self.own = own

    @classmethod
    def of(
        cls, deviations: Matrix, common: Matrix, shrinkage: float, widening: float, weights: Matrix, rank: int = 50
    ) -> LowRankCovariance:
        """As `DenseCovariance.of`, and equal to it where `rank` reaches the number of models.

        Args:
            deviations, common, shrinkage, widening, weights: see there.
            rank: how many of the deviations' directions, those of the largest variance, items share.
        """
        _, sizes, directions = svd(deviations, full_matrices=False)
        main = np.sqrt(1.0 - shrinkage) * sizes[:rank, None] * directions[:rank]
        factors = np.vstack([main, np.sqrt(shrinkage) * common])
        variances = item_variances(deviations)
        found = cls(factors, np.maximum(variances - np.square(factors).sum(axis=0), 1e-9 * variances))
        if widening > 1.0:
            slope = found.times(weights)
            found.factors = np.vstack([factors, slope * np.sqrt((widening - 1.0) / (weights @ slope))])
        return found

    @property
    def diagonal(self) -> Matrix:
        """Shape (items,)."""
        variances: Matrix = np.square(self.factors).sum(axis=0) + self.own
        return variances

    def column(self, item: int) -> Matrix:
        """Shape (items,)."""
        column: Matrix = self.factors[:, item] @ self.factors
        column[item] += self.own[item]
        return column

    def times(self, vector: Matrix) -> Matrix:
        """Shape (items,)."""
        product: Matrix = (self.factors @ vector) @ self.factors + self.own * vector
        return product

    def cross(self, items: Places, values: Matrix) -> Matrix:
        """Shape (items, k)."""
        product: Matrix = self.factors.T @ (self.factors[:, items] @ values)
        product[items] += self.own[items, None] * values
        return product

    def solve(self, items: Places, values: Matrix) -> Matrix:
        """Shape (some, k)."""
        factors = self.factors[:, items]
        alone = values / self.own[items, None]
        inner = np.eye(len(factors)) + (factors / self.own[items]) @ factors.T
        solution: Matrix = alone - (factors.T @ cho_solve(cho_factor(inner), factors @ alone)) / self.own[items, None]
        return solution

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """As arrays."""
        return {"factors": self.factors, "own": self.own}
