"""Who is better: the order of candidates by one objective or several, and how much it is in doubt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.contracts.estimator import Matrix, Places

DRAWS = 512


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


@dataclass(frozen=True)
class Doubt:
    """How sure it is which candidates are the best so many; see `doubt`.

    Attributes:
        chance: shape (candidates,): of being on the other side than it seems.
        regret: shape (candidates,): what is lost by that, on average: by how much of the objectives' ranges its values
            then lie on the other side.
    """

    chance: Matrix
    regret: Matrix


def doubt(mean: Matrix, standard_error: Matrix, best: int, seed: int) -> Doubt:
    """Draws values from the estimates, as if these were normal, and compares with what the means say.

    Args:
        mean, standard_error: shape (candidates, objectives), larger is better.
        best: less than there are candidates.
    """
    inside = np.zeros(len(mean), np.bool_)
    inside[best_first(mean)[:best]] = True
    ranges = _ranges(mean)
    wrong = np.zeros(len(mean))
    regret = np.zeros(len(mean))
    for noise in np.random.default_rng(seed).standard_normal((DRAWS, *mean.shape)):
        drawn = mean + standard_error * noise
        order = best_first(drawn)
        other = inside.copy()
        other[order[:best]] ^= True
        worth = (drawn / ranges).sum(axis=1)
        edge = np.where(inside, worth[order[best - 1]], worth[order[best]])
        wrong += other
        regret += other * np.abs(worth - edge)
    return Doubt(wrong / DRAWS, regret / DRAWS)


def _ranges(values: Matrix) -> Matrix:
    found: Matrix = np.ptp(values, axis=0)
    return np.where(found > 0, found, 1.0)
