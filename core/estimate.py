"""An estimate: mean and standard error of a score, and its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
_ROUNDING = 1e-12  # what rounding leaves of a zero


@dataclass(frozen=True)
class Estimate:
    """Mean of a score over a population of items, seen through `items` of them.

    Attributes:
        mean: the estimate, in the score's own units.
        standard_error: of the mean, in the same units, >= 0; NaN when one item was seen.
        items: how many items were answered, >= 1.
    """

    mean: float
    standard_error: float
    items: int

    @classmethod
    def from_scores(cls, scores: Sequence[float]) -> Estimate:
        """Mean and its standard error s/sqrt(n) of scores that are equally important.

        Raises:
            ValueError: there are no scores.
        """
        values = np.asarray(scores, dtype=np.float64)
        if values.size == 0:
            raise ValueError("no scores to average")
        spread = float(values.std(ddof=1)) if values.size > 1 else math.nan
        return cls(float(values.mean()), spread / math.sqrt(values.size), int(values.size))

    @classmethod
    def mean_of(cls, estimates: Sequence[Estimate]) -> Estimate:
        """The plain mean of independent estimates (stratified: each counts the same, whatever its items)."""
        variance = sum(estimate.standard_error**2 for estimate in estimates)
        return cls(
            sum(estimate.mean for estimate in estimates) / len(estimates),
            math.sqrt(variance) / len(estimates),
            sum(estimate.items for estimate in estimates),
        )

    def interval(self, share: bool, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Confidence interval of the mean.

        A share's is Wilson's (1927), with the effective number of items, and lies in [0, 1]: with p the mean and s its
        standard error, n = p(1-p)/s^2 is the number of yes/no items that would give this error; where the error is zero
        (all right or all wrong) or unknown, n is the number of items seen.

        Any other figure's is the normal one, mean ± z·s: without width where it is exact, without end where s is
        unknown.

        Args:
            share: whether the figure is a mean of scores in [0, 1]; see `Task.share` and `Objective.share`.
        """
        z = NormalDist().inv_cdf(0.5 + confidence / 2)
        return self._wilson(z) if share else self._normal(z)

    def _normal(self, z: float) -> tuple[float, float]:
        half = math.inf if math.isnan(self.standard_error) else z * self.standard_error
        return self.mean - half, self.mean + half

    def _wilson(self, z: float) -> tuple[float, float]:
        p = min(max(self.mean, 0.0), 1.0)
        certain = p < _ROUNDING or 1 - p < _ROUNDING or not self.standard_error > _ROUNDING
        informative = math.isfinite(self.standard_error) and not certain
        n = p * (1 - p) / self.standard_error**2 if informative else float(self.items)
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(centre - half, 0.0), min(centre + half, 1.0)
