"""How good estimated scores are: error, bias, ranking, regret of a choice, and coverage of their intervals."""

from __future__ import annotations

import math
import warnings
from statistics import NormalDist

import numpy as np
from heterosis.core.contracts.estimator import Matrix, Scores
from heterosis.core.estimate import Estimate
from scipy.stats import kendalltau, spearmanr

CONFIDENCE = 0.9
CHOSEN = 0.1
_ROUNDING = 1e-9


def measures(scores: Scores, truth: Matrix, items: int) -> dict[str, float]:
    """Figures of one group of candidates, whose true scores are known.

    Returns:
        error (mean absolute), bias and regret in points, that is hundredths of the score; spearman and kendall (0 where
        all estimates are equal); coverage, the share of the 90% intervals that users see that hold the truth, and
        coverage_normal, the same of mean ± z standard errors; width of the intervals that users see, in points.
    """
    off = scores.mean - truth
    low, high = intervals(scores, items)
    normal = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * scores.standard_error
    return {
        "error": 100 * float(np.abs(off).mean()),
        "bias": 100 * float(off.mean()),
        "spearman": _correlation(spearmanr, scores.mean, truth),
        "kendall": _correlation(kendalltau, scores.mean, truth),
        "regret": 100 * regret(scores.mean, truth),
        "coverage": float(((low - _ROUNDING <= truth) & (truth <= high + _ROUNDING)).mean()),
        "coverage_normal": float((np.abs(off) <= normal + _ROUNDING).mean()),
        "width": 100 * float((high - low).mean()),
    }


def intervals(scores: Scores, items: int) -> tuple[Matrix, Matrix]:
    """Lower and upper ends of the intervals that users see, each of shape (candidates,)."""
    ends = [
        Estimate(float(mean), float(error), items).interval(share=True, confidence=CONFIDENCE)
        for mean, error in zip(scores.mean, scores.standard_error, strict=True)
    ]
    low, high = np.array(ends).T
    return low, high


def regret(estimates: Matrix, truth: Matrix) -> float:
    """By how much the candidates that are best by their estimates are worse than the best ones, on average."""
    count = math.ceil(CHOSEN * len(truth))
    chosen = np.argsort(-estimates, kind="stable")[:count]
    return float(np.sort(truth)[-count:].mean() - truth[chosen].mean())


def _correlation(of: object, one: Matrix, other: Matrix) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not defined where all are equal
        found = float(of(one, other).statistic)  # type: ignore[operator]
    return found if math.isfinite(found) else 0.0
