"""How well estimates agree with full scores: error, order, and whether intervals hold what they promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ..core.estimate import Estimate

LEVELS = (0.5, 0.8, 0.9, 0.95)
FEWEST = 5
"""So many candidates must be compared before their order says anything."""
_ROUNDING = 1e-9  # an interval that ends at 0 or 1 may miss it by the last bit


@dataclass(frozen=True)
class Comparison:
    """A candidate's score as it was estimated, and on all items.

    Attributes:
        number: of the candidate.
        predicted: what the optimizer was told, from few items.
        full: the score on all items.
        elite: whether it answered them because it looked best (and not for the sake of this comparison).
    """

    number: int
    predicted: Estimate
    full: float
    elite: bool

    def inside(self, confidence: float) -> bool:
        """Whether the interval that was told holds the full score."""
        low, high = self.predicted.interval(share=True, confidence=confidence)
        return low - _ROUNDING <= self.full <= high + _ROUNDING


@dataclass(frozen=True)
class Agreement:
    """Estimates of one objective beside full scores.

    Attributes:
        objective: its label.
        known: the candidates that have both.
    """

    objective: str
    known: tuple[Comparison, ...]

    @property
    def error(self) -> float | None:
        """Mean absolute difference, in points of 100; None where nothing is known."""
        return 100 * float(np.abs(self._differences).mean()) if self.known else None

    @property
    def bias(self) -> float | None:
        """Mean of estimate minus full score, in points of 100."""
        return 100 * float(self._differences.mean()) if self.known else None

    @property
    def spearman(self) -> float | None:
        """Rank correlation; None with fewer than five candidates, or where all are equal."""
        return _known(stats.spearmanr(*self._pairs).statistic) if self._ranked else None

    @property
    def kendall(self) -> float | None:
        """Kendall's tau-b; None as for `spearman`."""
        return kendall(*self._pairs)

    @property
    def calibration(self) -> dict[float, float]:
        """By level, the share of full scores that lie inside the interval of that level."""
        return {level: self.inside(level) for level in LEVELS} if self.known else {}

    def inside(self, level: float) -> float:
        """The share of full scores that lie inside the intervals of a level; there must be some."""
        return sum(one.inside(level) for one in self.known) / len(self.known)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "objective": self.objective,
            "compared": len(self.known),
            "error_points": self.error,
            "bias_points": self.bias,
            "spearman": self.spearman,
            "kendall": self.kendall,
            "inside": [{"level": level, "share": share} for level, share in self.calibration.items()],
            "candidates": [
                {
                    "number": one.number,
                    "predicted": one.predicted.mean,
                    "standard_error": one.predicted.standard_error,
                    "items": one.predicted.items,
                    "full": one.full,
                    "elite": one.elite,
                }
                for one in self.known
            ],
        }

    @property
    def _pairs(self) -> tuple[list[float], list[float]]:
        return [one.predicted.mean for one in self.known], [one.full for one in self.known]

    @property
    def _differences(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        predicted, full = self._pairs
        return np.subtract(predicted, full)

    @property
    def _ranked(self) -> bool:
        return all(_ordered(values) for values in self._pairs)


def kendall(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b of paired values; None with fewer than five pairs, or where all of a side are equal."""
    return _known(stats.kendalltau(one, other).statistic) if _ordered(one) and _ordered(other) else None


def _ordered(values: Sequence[float]) -> bool:
    return len(values) >= FEWEST and len(set(values)) > 1


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
