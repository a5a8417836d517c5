"""Paired difference: what a candidate does better or worse than the models it is merged from, on the same items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Matrix, References, Scores
from .fixed_order import FixedOrderEstimator, spread_along
from .stratified_mean import difficulty

BLEND = 0.7
"""How much of the sources' deviations a candidate is expected to show before it has answered."""


class PairedDifference(FixedOrderEstimator):
    """The sources' responses as control variates: known for all items, and a candidate's are expected to follow them.

    A candidate's response is taken to be its mean plus a combination of the sources' deviations from theirs. The
    coefficients start equal, of sum 0.7, and give way to what the candidate's own responses say as `patience` of
    them are there (ridge regression, clipped at 0); with coefficients of 0 this is a mean over stratified items.
    Cochran, Sampling Techniques (1977), ch. 7 (regression estimators).

    Args:
        patience: > 0: how many responses the first guess counts as.
    """

    name: ClassVar[str] = "paired_difference"
    least_references = 1

    def __init__(self, seed: int = 0, patience: float = 5.0) -> None:
        super().__init__(seed, patience=patience)
        self.patience = patience

    def _learn(self, references: References) -> None:
        rng = np.random.default_rng(self.seed)
        complete = references.complete
        sources = [source for source in references.sources if complete[source]] or np.flatnonzero(complete)
        known = references.take(np.asarray(sources, np.intp))
        by_chance = rng.permutation(len(references.weights))
        line = np.lexsort((by_chance, references.strata, difficulty(known, len(sources) + 1)))
        self.order = spread_along(line, references.weights, rng)
        self.sources = known.responses

    def _believe(self, responses: Matrix) -> Scores:
        predicted, variance = self._completed(responses)
        rest = np.where(np.isnan(responses), self.references.weights, 0.0)
        count = np.maximum((~np.isnan(responses)).sum(axis=1), 1)
        spread = rest.sum(axis=1) ** 2 / count + (rest**2).sum(axis=1)
        return Scores(np.clip(predicted @ self.references.weights, 0.0, 1.0), np.sqrt(variance * spread))

    def predict(self, responses: Matrix) -> Matrix:
        """The responses that there are, and for other items what the sources' say; see the contract."""
        return np.clip(self._completed(responses)[0], 0.0, 1.0)

    def _completed(self, responses: Matrix) -> tuple[Matrix, Matrix]:
        """Shapes (candidates, items) and (candidates,): responses with the gaps filled, and residual variances."""
        asked = ~np.isnan(responses)
        known = np.where(asked, responses, 0.0)
        models, items = self.sources.shape
        level = self.references.weights @ self.sources.T
        controls = self.sources.T - level
        count = asked.sum(axis=1).astype(np.float64)
        some = np.maximum(count, 1.0)

        products = (controls[:, :, None] * controls[:, None, :]).reshape(items, -1)
        centre, mean = asked @ controls / some[:, None], known.sum(axis=1) / some
        squares = (asked @ products).reshape(-1, models, models)
        squares -= some[:, None, None] * centre[:, :, None] * centre[:, None, :]
        cross = known @ controls - (count * mean)[:, None] * centre
        scale = self.patience * (np.diag(self.references.weights @ np.square(controls)) + 1e-9 * np.eye(models))
        guess = np.full(models, BLEND / models)
        slopes = np.linalg.solve(squares + scale, (cross + scale @ guess)[:, :, None])[:, :, 0]
        slopes = np.maximum(slopes, 0.0)

        start = np.where(count > 0, mean - (centre * slopes).sum(axis=1), level.mean())
        line = start[:, None] + slopes @ controls.T
        left = np.where(asked, known - line, 0.0)
        overall = (known.sum(axis=1) + 0.5) / (count + 1.0)
        freedom = np.trace(np.linalg.solve(squares + scale, squares), axis1=1, axis2=2)
        variance = (np.square(left).sum(axis=1) + overall * (1.0 - overall)) / np.maximum(some - freedom, 0.5 * some)
        return np.where(asked, known, line), variance

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        return {"order": self.order, "sources": self.sources}

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.order, self.sources = state["order"], state["sources"]
