"""Drift: do random items still come out as predicted? If not, what the estimates were learned from holds no more.

Items that an estimator chooses cannot tell, for it chose them; items at random can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.contracts.estimator import Estimator, Matrix
from ..core.errors import ConfigurationError

ALARM = 3.0


@dataclass(frozen=True)
class Drift:
    """How far responses to random items are from what was predicted.

    Attributes:
        difference: mean of response minus prediction, in [-1, 1]; below 0 where the items have become harder.
        z: the same in its standard errors; 0 without answers.
        answers: how many random items were answered, over all candidates.
        variance: of the sum of differences.
    """

    difference: float
    z: float
    answers: int
    variance: float = 0.0

    @property
    def alarm(self) -> bool:
        """Whether this is no chance."""
        return abs(self.z) > ALARM


def drift(predicted: Matrix, responses: Matrix, standard_error: Matrix) -> Drift:
    """Compares responses with predictions that were made without them, all candidates together.

    z = sum(y - p) / sqrt(V). V is the sum of what answers scatter by, sum p(1 - p), the most that scores in [0, 1] can;
    of the errors of the candidates' predicted scores, each shared by all its items; and, for items that several
    candidates were asked, of how much more these answer alike than independent answers would (the between-cluster part
    of a cluster-robust variance: Liang and Zeger, 1986), for what is odd about an item is odd for all of them.

    Args:
        predicted: shape (candidates, items), in [0, 1].
        responses: shape (candidates, items), in [0, 1]; NaN but for random items.
        standard_error: shape (candidates,), of the candidates' predicted scores.

    Raises:
        ConfigurationError: the shapes differ.
    """
    if predicted.shape != responses.shape or standard_error.shape != responses.shape[:1]:
        raise ConfigurationError(
            f"predictions {predicted.shape}, responses {responses.shape}, errors {standard_error.shape}: give "
            "(candidates, items) twice, and (candidates,)"
        )
    asked = np.isfinite(responses)
    answers = int(asked.sum())
    if answers == 0:
        return Drift(0.0, 0.0, 0)
    off = np.where(asked, np.where(asked, responses, 0.0) - predicted, 0.0)
    difference = float(off.sum()) / answers
    around = np.where(asked, off - difference, 0.0)
    scatter = float((predicted * (1.0 - predicted))[asked].sum())
    scores = float(((asked.sum(axis=1) * standard_error) ** 2).sum())
    alike = float((around.sum(axis=0) ** 2).sum() - (around**2).sum())
    variance = scatter + scores + max(alike, 0.0)
    # where every answer was held to be certain, one that differs must still not count as infinitely surprising
    return Drift(difference, difference * answers / float(np.sqrt(max(variance, 0.25))), answers, variance)


def drift_of(estimator: Estimator, responses: Matrix, random: npt.NDArray[np.bool_]) -> Drift:
    """Predicts the random items from the others, and compares.

    Args:
        estimator: fitted before any of these responses.
        responses: shape (candidates, items), NaN where not asked.
        random: shape (candidates, items): which were drawn at random; see `Race.random`.
    """
    others = np.where(random, np.nan, responses)
    return drift(
        estimator.predict(others), np.where(random, responses, np.nan), estimator.estimate(others).standard_error
    )
