"""The items that tell most about a score: each in turn the one that lowers its variance most, given those before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from ...core.contracts.estimator import Matrix, Places
from .covariance import Covariance


@dataclass(frozen=True)
class GreedyOrder:
    """An order of asking, and the estimates along it.

    Attributes:
        order: shape (items,): first those that were chosen, then the rest by what each alone would tell.
        roots: shape (chosen, chosen): upper triangular, Cholesky factor of the covariance of the chosen items.
        gains: shape (chosen,): what a standard deviation of each chosen item's surprise adds to the score.
    """

    order: Places
    roots: Matrix
    gains: Matrix

    def additions(self, deviations: Matrix) -> Matrix:
        """Shape (models, chosen): how far a score is from the mean when so many of the first items are known.

        Args:
            deviations: shape (models, items): responses less the mean.
        """
        chosen = deviations[:, self.order[: len(self.gains)]]
        surprises = solve_triangular(self.roots, chosen.T, trans="T")
        additions: Matrix = np.cumsum(surprises.T * self.gains, axis=1)
        return additions


def greedy_order(covariance: Covariance, weights: Matrix, count: int) -> GreedyOrder:
    """Chooses `count` items greedily by c_j^2 / S_jj, where S is the Schur complement of the chosen and c = S weights.

    This is Cholesky's decomposition with pivots: a column of S is made when it is needed, so that neither time nor
    memory is of the order of items squared.
    """
    target, variance = covariance.times(weights), covariance.diagonal.copy()
    least = 1e-9 * variance
    count = min(count, len(target))
    rows, gains = np.empty((count, len(target))), np.empty(count)
    chosen, free = np.empty(count, np.intp), np.ones(len(target), np.bool_)
    for turn in range(count):
        item = int(np.argmax(np.where(free, target**2 / variance, -1.0)))
        row = (covariance.column(item) - rows[:turn, item] @ rows[:turn]) / np.sqrt(variance[item])
        gains[turn] = target[item] / np.sqrt(variance[item])
        rows[turn], chosen[turn], free[item] = row, item, False
        target = target - gains[turn] * row
        variance = np.maximum(variance - row**2, least)
    rest = np.flatnonzero(free)
    rest = rest[np.argsort(-(target[rest] ** 2) / variance[rest], kind="stable")]
    return GreedyOrder(np.concatenate([chosen, rest]), np.triu(rows[:, chosen]), gains)
