"""Greedy BLUP: the best linear unbiased predictor of a score, from the items that tell most about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Matrix, References, Scores
from .asked_sets import asked_sets
from .covariance import Covariance, DenseCovariance, weighted_deviations
from .fixed_order import FixedOrderEstimator
from .greedy_order import greedy_order
from .low_rank_covariance import LowRankCovariance

SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.9)
LONGEST = 250
"""Items that are ordered greedily; there is little left to win behind them."""
DENSE = 5_000
"""Up to so many items, the covariance is held as a matrix."""
FOLDS = 4


class Blup(FixedOrderEstimator):
    """Items' responses as jointly normal over models; a score is its conditional mean, given the responses there are.

    With mean m and covariance S of the references (off the diagonal shrunk, as much as is best for those held out),
    c = S w, and A the items asked: w'm + c_A' S_AA^-1 (y_A - m_A), of variance w'Sw - c_A' S_AA^-1 c_A. It takes
    responses in [0, 1] as they are. Goldberger (1962), Best Linear Unbiased Prediction.

    Args:
        widening: >= 1: what the prior variance of the score is multiplied with, for candidates unlike the references.
            Default: 5 where the references are of unequal importance, which says that they are; else 1.
        rank: of the covariance of more than 5,000 items.
    """

    name: ClassVar[str] = "blup"
    least_references: ClassVar[int] = 2

    def __init__(self, seed: int = 0, widening: float | None = None, rank: int = 50) -> None:
        super().__init__(seed, widening=widening, rank=rank)
        self.widening = widening
        self.rank = rank

    def _learn(self, references: References) -> None:
        known = references.take(np.flatnonzero(references.complete))
        shrinkage = self._best_shrinkage(known)
        self.mean, deviations = weighted_deviations(known)
        self.covariance = self._covariance(deviations, shrinkage, known)
        self.order = greedy_order(self.covariance, known.weights, LONGEST).order

    def _covariance(self, deviations: Matrix, shrinkage: float, known: References) -> Covariance:
        unequal = np.ptp(known.importance) > 1e-9
        widening = self.widening if self.widening is not None else 5.0 if unequal else 1.0
        if deviations.shape[1] <= DENSE:
            return DenseCovariance.of(deviations, shrinkage, widening, known.weights)
        return LowRankCovariance.of(deviations, shrinkage, widening, known.weights, self.rank)

    def _best_shrinkage(self, known: References) -> float:
        """The one with which held-out references' scores are predicted best."""
        models, items = known.responses.shape
        lots = np.random.default_rng(self.seed).permutation(models)
        errors = np.zeros((len(SHRINKAGES), min(100, items)))
        for fold in range(min(FOLDS, models // 2)):
            held = lots[fold::FOLDS]
            rest = known.take(np.setdiff1d(lots, held))
            mean, deviations = weighted_deviations(rest)
            for row, shrinkage in enumerate(SHRINKAGES):
                found = greedy_order(self._covariance(deviations, shrinkage, rest), rest.weights, errors.shape[1])
                estimates = mean @ rest.weights + found.additions(known.responses[held] - mean)
                off = np.clip(estimates, 0.0, 1.0) - known.scores[held, None]
                errors[row] += known.importance[held] @ off**2
        return SHRINKAGES[int(np.argmin(np.log(errors + 1e-12)[:, 4:].mean(axis=1)))]

    def _believe(self, responses: Matrix) -> Scores:
        weights = self.references.weights
        slope = self.covariance.times(weights)
        mean, variance = np.empty(len(responses)), np.empty(len(responses))
        for rows, items in asked_sets(responses):
            share = self.covariance.solve(items, slope[items, None])[:, 0]
            mean[rows] = self.mean @ weights + (responses[np.ix_(rows, items)] - self.mean[items]) @ share
            variance[rows] = weights @ slope - slope[items] @ share
        return Scores(np.clip(mean, 0.0, 1.0), np.sqrt(np.maximum(variance, 0.0)))

    def predict(self, responses: Matrix) -> Matrix:
        """Conditional means m + S_.A S_AA^-1 (y_A - m_A); see the contract."""
        predicted = np.empty(responses.shape)
        for rows, items in asked_sets(responses):
            surprise = responses[np.ix_(rows, items)] - self.mean[items]
            solved = self.covariance.solve(items, surprise.T)
            predicted[rows] = self.mean + self.covariance.cross(items, solved).T
        return np.clip(predicted, 0.0, 1.0)

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        return {"order": self.order, "mean": self.mean, **self.covariance.state()}

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.order, self.mean = state["order"], state["mean"]
        self.covariance = (
            DenseCovariance(state["matrix"]) if "matrix" in state else LowRankCovariance(state["factors"], state["own"])
        )
