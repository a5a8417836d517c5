"""Calibrated intervals: how much wider than an estimator believes they must be, learnt on held-out references.

Split-conformal prediction (Vovk et al., 2005; Lei et al., 2018), localised (Guan, 2023): the factor is the quantile of
how many times their standard error the estimates of held-out references were off, those of similar scores counting
most. Off is meant in the interval that users see, which is Wilson's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from ...core.contracts.estimator import Matrix, Places
from .held_out import HeldOut

COVERAGE = 0.9
AIMED, MOST = 0.93, 0.97
"""The quantile that is taken: above `COVERAGE`, for references that are alike are fewer than they seem. Where scores
are exactly 0 or 1, which no interval reaches, it is higher, but not above `MOST`."""
PLACES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
"""Where the factor is learnt, as shares of the references (by importance) that score less."""
LOCAL = 25
"""About so many references on either side of such a place count there."""
NARROWEST = 0.2
LEAST = 3
WITHOUT = 1.5
"""The factor where fewer references than `LEAST` could be held out."""


@dataclass(frozen=True)
class Calibration:
    """The factor by which standard errors grow, for numbers of items asked and estimated scores.

    Attributes:
        counts: shape (k,), numbers of items asked, rising.
        scores: shape (m,), rising.
        factors: shape (m, k), positive.
        low, high: the references' range of scores; outside it, a standard error grows with the distance.
    """

    counts: Matrix
    scores: Matrix
    factors: Matrix
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def constant(cls, factor: float = 1.0) -> Calibration:
        """The same factor everywhere; 1 leaves standard errors as they are."""
        return cls(np.array([1.0]), np.array([0.5]), np.array([[factor]]))

    @classmethod
    def of(cls, found: HeldOut) -> Calibration:
        """Learns the factor from references that were held out."""
        if len(found.truth) < LEAST or len(found.counts) == 0:
            return cls.constant(WITHOUT)
        needed, reached = np.log(_needed(found)), (found.truth > 0.0) & (found.truth < 1.0)
        order = np.argsort(found.truth)
        below = np.cumsum(found.importance[order]) / found.importance.sum()
        width = np.clip(LOCAL / len(found.truth), NARROWEST, 1.0)
        logs, scores = np.empty((len(PLACES), len(found.counts))), np.empty(len(PLACES))
        for column in range(len(found.counts)):
            at = np.interp(found.means[:, column], found.truth[order], below)
            near = np.maximum(1.0 - ((at[:, None] - PLACES) / width) ** 2, 1e-6) * found.importance[:, None]
            logs[:, column] = [_quantile(needed[:, column], weights, reached) for weights in near.T]
        near = np.maximum(1.0 - ((below[:, None] - PLACES) / width) ** 2, 1e-6) * found.importance[order, None]
        scores = near.T @ found.truth[order] / near.sum(axis=0) + 1e-9 * np.arange(len(PLACES))
        low, high = float(found.truth.min()), float(found.truth.max())
        return cls(found.counts.astype(np.float64), scores, np.exp(_smooth(logs, found.counts)), low, high)

    def factor(self, items: Places, mean: Matrix) -> Matrix:
        """Shape (candidates,): for so many items asked and these estimated scores."""
        at_scores = np.stack([np.interp(items, self.counts, row) for row in self.factors])
        place = np.interp(mean, self.scores, np.arange(len(self.scores)))
        left = np.minimum(place.astype(np.intp), max(len(self.scores) - 2, 0))
        right = np.minimum(left + 1, len(self.scores) - 1)
        candidates = np.arange(len(mean))
        share = place - left
        within = (1.0 - share) * at_scores[left, candidates] + share * at_scores[right, candidates]
        beyond = np.maximum(np.maximum(self.low - mean, mean - self.high), 0.0)
        wider: Matrix = within * (1.0 + 2.0 * beyond / max(self.high - self.low, 0.05))
        return wider

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """As arrays."""
        return {
            "counts": self.counts,
            "scores": self.scores,
            "factors": self.factors,
            "range": np.array([self.low, self.high]),
        }

    @classmethod
    def restored(cls, state: Mapping[str, npt.NDArray[Any]]) -> Calibration:
        """What `state` gave."""
        low, high = state["range"]
        return cls(state["counts"], state["scores"], state["factors"], float(low), float(high))


def _needed(found: HeldOut) -> Matrix:
    """Shape (references, k): the factor with which the interval that users see would just reach the truth.

    Wilson's interval of mean p and standard error s reaches F where |p - F| = z s sqrt(F(1 - F) / (p(1 - p))). A score
    of exactly 0 or 1 is never reached unless it is the estimate; there the factor is that of the normal interval.
    """
    z = NormalDist().inv_cdf(0.5 + COVERAGE / 2)
    truth = found.truth[:, None]
    spread = truth * (1.0 - truth)
    own = found.means * (1.0 - found.means)
    ratio = np.sqrt(np.divide(own, spread, out=np.ones_like(own), where=spread > 1e-12))
    needed: Matrix = np.abs(found.means - truth) / (z * found.errors) * ratio
    return np.clip(needed, 1e-3, 1e3)


def _quantile(values: Matrix, weights: Matrix, reached: npt.NDArray[np.bool_]) -> float:
    """The weighted quantile, plus what Student's t has more than the normal distribution where few count.

    Where some scores cannot be reached, more of the others are, so that it is as many in all; up to `MOST`.
    """
    order = np.argsort(values)
    shares = np.cumsum(weights[order]) / weights.sum()
    effective = max(float(weights.sum() ** 2 / (weights**2).sum()), 2.0)
    reachable = float(weights @ reached / weights.sum())
    level = min(AIMED / max(reachable, AIMED), MOST)
    place = min(int(np.searchsorted(shares, level)), len(values) - 1)
    tail = 0.5 + COVERAGE / 2
    extra = np.log(student.ppf(tail, effective - 1.0) / NormalDist().inv_cdf(tail))
    return float(values[order][place] + extra)


def _smooth(logs: Matrix, counts: Places) -> Matrix:
    """Of each place a straight line over the logarithm of the number of items."""
    if logs.shape[1] == 1:
        return logs
    steps = np.log(counts) - np.log(counts).mean()
    line: Matrix = logs.mean(axis=1, keepdims=True) + np.outer(logs @ steps / (steps @ steps), steps)
    return line
