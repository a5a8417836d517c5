"""Greedy BLUP: the best linear unbiased predictor of a score, from the items that tell most about it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Matrix, References, Scores
from .asked_sets import asked_sets
from .covariance import Covariance, DenseCovariance, one_ability, weighted_deviations
from .fixed_order import FixedOrderEstimator
from .greedy_order import greedy_order
from .low_rank_covariance import LowRankCovariance

SHRINKAGES = (0.05, 0.1, 0.2, 0.4, 0.7, 0.95)
FOLDS = 4
DEPTH = 60
"""Up to so many items, held-out references are predicted to find the shrinkage."""
LONGEST = 250
"""Items that are ordered greedily; there is little left to win behind them."""
DENSE = 5_000
"""Up to so many items, the covariance is held as a matrix."""


class Blup(FixedOrderEstimator):
    """Items' responses as jointly normal over models; a score is its conditional mean, given the responses there are.

    With mean m and covariance S of the references, c = S w, and A the items asked: w'm + c_A' S_AA^-1 (y_A - m_A), of
    variance w'Sw - c_A' S_AA^-1 c_A. It takes responses in [0, 1] as they are. Goldberger (1962), Best Linear Unbiased
    Prediction. Off the diagonal S is shrunk, as far as is best for references that are held out, either towards items
    that are independent or towards one ability that all share. The second is better where references are few or unlike
    the candidates: then the mean of the surprises is taken to concern all items, not only those that went along before.

    Args:
        widening: >= 1: what the prior variance of the score is multiplied with, for candidates unlike the references.
            Default: 5 where the references are of unequal importance, which says that they are; else 1.
        rank: of the covariance of more than 5,000 items.
    """

    name: ClassVar[str] = "blup"
    least_references = 2

    def __init__(self, seed: int = 0, widening: float | None = None, rank: int = 50) -> None:
        super().__init__(seed, widening=widening, rank=rank)
        self.widening = widening
        self.rank = rank

    def _learn(self, references: References) -> None:
        known = references.take(np.flatnonzero(references.complete))
        unlike = bool(np.ptp(known.importance) > 1e-9)
        widening = self.widening if self.widening is not None else 5.0 if unlike else 1.0
        shared, shrinkage = self._best_prior(known, (True,) if unlike else (False, True), widening)
        self.mean, deviations = weighted_deviations(known)
        self.covariance = self._covariance(deviations, shared, shrinkage, widening, known.weights)
        self.order = greedy_order(self.covariance, known.weights, LONGEST).order

    def _covariance(
        self, deviations: Matrix, shared: bool, shrinkage: float, widening: float, weights: Matrix
    ) -> Covariance:
        items = deviations.shape[1]
        common = one_ability(deviations, weights) if shared else np.zeros(items)
        if items <= DENSE:
            return DenseCovariance.of(deviations, common, shrinkage, widening, weights)
        return LowRankCovariance.of(deviations, common, shrinkage, widening, weights, self.rank)

    def _best_prior(self, known: References, shared: tuple[bool, ...], widening: float) -> tuple[bool, float]:
        """Whether an ability is shared, and the shrinkage, with which held-out references are predicted best."""
        priors = list(product(shared, SHRINKAGES))
        models, items = known.responses.shape
        lots = np.random.default_rng(self.seed).permutation(models)
        errors = np.zeros((len(priors), min(DEPTH, items)))
        for fold in range(min(FOLDS, models // 2)):
            held = lots[fold::FOLDS]
            rest = known.take(np.setdiff1d(lots, held))
            mean, deviations = weighted_deviations(rest)
            for row, prior in enumerate(priors):
                covariance = self._covariance(deviations, *prior, widening, known.weights)
                found = greedy_order(covariance, known.weights, errors.shape[1])
                scores = mean @ known.weights + found.additions(known.responses[held] - mean)
                errors[row] += known.importance[held] @ (np.clip(scores, 0.0, 1.0) - known.scores[held, None]) ** 2
        return priors[int(np.argmin(np.log(errors + 1e-12).mean(axis=1)))]

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
        dense = "matrix" in state
        self.covariance = (
            DenseCovariance(state["matrix"]) if dense else LowRankCovariance(state["factors"], state["own"])
        )
