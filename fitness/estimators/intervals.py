"""Calibrated intervals: how much wider than an estimator believes they must be, learnt on held-out references.

Split-conformal prediction (Vovk et al., 2005; Lei et al., 2018): each reference is held out in turn, with its fold, and
asked few items as a candidate is; the factor is the quantile of how many standard errors the estimates were off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Matrix, Places, References

if TYPE_CHECKING:
    from .base import CalibratedEstimator

CHECKPOINTS = (5, 10, 20, 50, 100)
"""Numbers of items at which the factor is learnt; between them it is interpolated."""

COVERAGE = 0.9
FOLDS = 4
LEAST = 8
"""With fewer complete references nothing can be learnt, and the factor is what Student's t gives."""


@dataclass(frozen=True)
class Calibration:
    """The factor by which standard errors grow.

    Attributes:
        counts: shape (k,), numbers of items asked, rising.
        factors: shape (k,), >= 0.
        low, high: the references' range of scores; outside it, a standard error grows with the distance.
    """

    counts: Matrix
    factors: Matrix
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def none(cls) -> Calibration:
        """Leaves standard errors as they are."""
        return cls(np.array([1.0]), np.array([1.0]))

    def factor(self, items: Places, mean: Matrix) -> Matrix:
        """Shape (candidates,): for so many items asked and these estimated scores."""
        beyond = np.maximum(np.maximum(self.low - mean, mean - self.high), 0.0)
        spread = max(self.high - self.low, 0.05)
        return np.interp(items, self.counts, self.factors) * (1.0 + 2.0 * beyond / spread)

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """As arrays."""
        return {"counts": self.counts, "factors": self.factors, "range": np.array([self.low, self.high])}

    @classmethod
    def restored(cls, state: Mapping[str, npt.NDArray[Any]]) -> Calibration:
        """What `state` gave."""
        low, high = state["range"]
        return cls(state["counts"], state["factors"], float(low), float(high))


def calibrated(estimator: CalibratedEstimator, references: References) -> Calibration:
    """Asks held-out references few items each, and compares with their scores on all of them."""
    rows = np.flatnonzero(references.complete)
    known = references.take(rows)
    if len(rows) < LEAST:
        return Calibration(np.array([1.0]), np.array([1.5]))
    counts = [count for count in CHECKPOINTS if count < known.responses.shape[1]]
    off: dict[int, list[Matrix]] = {count: [] for count in counts}
    lots = np.random.default_rng(estimator.seed).permutation(len(rows))
    for fold in range(FOLDS):
        held = np.sort(lots[fold::FOLDS])
        rest = np.setdiff1d(lots, held)
        if len(rest) < estimator.least_references:
            continue
        learner = estimator.fresh()
        learner.fit_uncalibrated(known.take(rest))  # type: ignore[attr-defined]
        for count, seen in asked_step_by_step(learner, known.responses[held], counts):
            scores = learner.estimate(seen)
            truth = known.scores[held]
            off[count].append(np.abs(scores.mean - truth) / np.maximum(scores.standard_error, 1e-9))
    z = NormalDist().inv_cdf(0.5 + COVERAGE / 2)
    factors = [np.quantile(np.concatenate(off[count]), COVERAGE, method="higher") / z for count in counts]
    scores = known.scores
    return Calibration(np.array(counts, float), np.array(factors), float(scores.min()), float(scores.max()))


def asked_step_by_step(estimator: Any, answers: Matrix, counts: list[int], step: int = 5) -> Any:
    """Yields (count, responses) as each count is reached, for models whose every answer is known."""
    seen = np.full_like(answers, np.nan)
    done = 0
    for count in counts:
        while done < count:
            items = estimator.next_items(seen, min(step, count - done))
            if items.shape[1] == 0:
                return
            np.put_along_axis(seen, items, np.take_along_axis(answers, items, axis=1), axis=1)
            done += items.shape[1]
        yield count, seen.copy()
