"""Who is better: the order of candidates by one objective or several, and how much it is in doubt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import qmc

from ..core.contracts.estimator import Matrix, Places

DRAWS = 64


def best_first(values: Matrix) -> Places:
    """The rows of `values`, shape (candidates, objectives), larger is better, in order.

    By the only objective; or, of several, by how many fronts lie before (non-dominated sorting: Deb et al., 2002), and
    within a front by the sum of the objectives, each scaled to its range.
    """
    if values.shape[1] == 1:
        return np.argsort(-values[:, 0], kind="stable")
    total = (values / _ranges(values)).sum(axis=1)
    return np.lexsort((-total, fronts(values)))


def fronts(values: Matrix) -> Places:
    """Shape (candidates,): 0 for those that none dominates, 1 for those that only front 0 dominates, and so on."""
    not_worse = np.all(values[:, None] >= values[None], axis=2)
    better: npt.NDArray[np.bool_] = not_worse & ~not_worse.T
    front = np.full(len(values), -1, np.intp)
    number = 0
    while (front < 0).any():
        free = np.flatnonzero(front < 0)
        front[free[~better[np.ix_(free, free)].any(axis=0)]] = number
        number += 1
    return front


def regrets(mean: Matrix, standard_error: Matrix, best: int) -> Matrix:
    """Shape (candidates,): what is lost, on average, by taking a candidate for one of the best, or not, as it seems.

    Each candidate's values are drawn from its estimates, as if these were normal, while those of the others stay: where
    it then changes sides, the loss is how far it is from whom it changes places with, in ranges of the objectives. 0
    for one that never does, which is one some 2.4 standard errors away.

    Args:
        mean, standard_error: shape (candidates, objectives), larger is better.
        best: how many are among the best; less than there are candidates.
    """
    order = best_first(mean)
    inside = np.zeros(len(mean), np.bool_)
    inside[order[:best]] = True
    ranges = _ranges(mean)
    worth = (mean / ranges).sum(axis=1)
    rival = np.where(inside, worth[order[best]], worth[order[best - 1]])
    lost = np.zeros(len(mean))
    for noise in _normal(mean.shape[1]):
        drawn = mean + standard_error * noise
        for row in np.flatnonzero(_could_change(drawn, mean, inside)):
            values = mean.copy()
            values[row] = drawn[row]
            if (row in best_first(values)[:best]) != inside[row]:
                lost[row] += abs((drawn[row] / ranges).sum() - rival[row])
    return lost / DRAWS


def _could_change(drawn: Matrix, mean: Matrix, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Leaves out most of those that cannot have: who is inside and gained in all, or is outside and lost in all."""
    return np.where(inside, (drawn < mean).any(axis=1), (drawn > mean).any(axis=1))


def _normal(dimensions: int) -> Matrix:
    """Shape (DRAWS, dimensions): points spread as a standard normal distribution is, always the same."""
    uniform = qmc.Sobol(dimensions, scramble=False).random(DRAWS)
    return np.asarray(ndtri(uniform + 0.5 / DRAWS), np.float64)


def _ranges(values: Matrix) -> Matrix:
    found: Matrix = np.ptp(values, axis=0)
    return np.where(found > 0, found, 1.0)
