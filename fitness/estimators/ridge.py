"""Random items and ridge regression: the score as a linear function of responses, learnt from references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Matrix, References, Scores
from .asked_sets import asked_sets
from .fixed_order import FixedOrderEstimator

PENALTIES = np.geomspace(1e-3, 1e3, 25)


class Ridge(FixedOrderEstimator):
    """Regresses the references' scores on their responses to the items asked, anew for each set of items.

    The penalty is the one whose leave-one-out error, which has a closed form (Allen, 1974), is the least; that error
    is the standard error. Found to be hard to beat by "How benchmark prediction from fewer data misses the mark"
    (Zhang et al., 2025).
    """

    name: ClassVar[str] = "ridge"
    least_references = 3

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)

    def _learn(self, references: References) -> None:
        rng = np.random.default_rng(self.seed)
        items = len(references.weights)
        self.order = rng.choice(items, items, replace=False, p=references.weights)
        known = references.take(np.flatnonzero(references.complete))
        self.known, self.shares = known.responses, known.importance / known.importance.sum()

    def _believe(self, responses: Matrix) -> Scores:
        scores, alone = (self.known @ self.references.weights)[:, None], np.ones(1)
        mean, error = np.empty(len(responses)), np.empty(len(responses))
        for rows, items in asked_sets(responses):
            line = fitted(self.known[:, items], scores, alone, self.shares)
            mean[rows] = line.at(responses[np.ix_(rows, items)])[:, 0]
            error[rows] = line.error
        return Scores(np.clip(mean, 0.0, 1.0), error)

    def predict(self, responses: Matrix) -> Matrix:
        """The responses that there are, and regressions on them with the score's penalty; see the contract."""
        predicted = responses.copy()
        for rows, items in asked_sets(responses):
            line = fitted(self.known[:, items], self.known, self.references.weights, self.shares)
            expected = np.clip(line.at(responses[np.ix_(rows, items)]), 0.0, 1.0)
            predicted[rows] = np.where(np.isnan(responses[rows]), expected, responses[rows])
        return predicted

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        return {"order": self.order, "known": self.known, "shares": self.shares}

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.order, self.known, self.shares = state["order"], state["known"], state["shares"]


@dataclass(frozen=True)
class RidgeFit:
    """A ridge regression with an intercept.

    Attributes:
        centre: shape (n,), mean of what it is regressed on.
        level: shape (k,), mean of what is regressed.
        slopes: shape (n, k).
        error: root mean square of the leave-one-out errors of the weighted sum.
    """

    centre: Matrix
    level: Matrix
    slopes: Matrix
    error: float

    def at(self, values: Matrix) -> Matrix:
        """Shape (m, k): what is predicted for values of shape (m, n)."""
        return self.level + (values - self.centre) @ self.slopes


def fitted(values: Matrix, targets: Matrix, weights: Matrix, shares: Matrix) -> RidgeFit:
    """Regresses with the penalty of the least leave-one-out error.

    Args:
        values: shape (models, n); n may be 0, which leaves the mean.
        targets: shape (models, k).
        weights: shape (k,): the error that counts is of the weighted sum of the targets.
        shares: shape (models,), sum 1: how much each model counts.
    """
    centre, level = shares @ values, shares @ targets
    roots = np.sqrt(shares)[:, None]
    left, sizes, right = np.linalg.svd(roots * (values - centre), full_matrices=False)
    along = left.T @ (roots * (targets - level))
    goal = roots[:, 0] * ((targets - level) @ weights)
    penalties = PENALTIES * (np.square(sizes).mean() if sizes.any() else 1.0)
    kept = sizes[:, None] ** 2 / (sizes[:, None] ** 2 + penalties)
    off = goal[:, None] - left @ (kept * (along @ weights)[:, None])
    errors = np.square(off / np.maximum(1.0 - shares[:, None] - left**2 @ kept, 1e-9)).sum(axis=0)
    best = int(np.argmin(errors))
    shrunk = sizes / (sizes**2 + penalties[best])
    return RidgeFit(centre, level, right.T @ (shrunk[:, None] * along), float(np.sqrt(errors[best])))
