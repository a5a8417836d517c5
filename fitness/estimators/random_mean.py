"""Random mean: what any estimator has to beat, the mean of a candidate's responses to random items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Matrix, Places, References, Scores
from .fixed_order import FixedOrderEstimator


class RandomMean(FixedOrderEstimator):
    """Asks items at random, in proportion to their weights, and takes those that were not asked to be like the rest.

    What a subclass groups into cells is only compared within its cell (post-stratification). To the variances within
    cells comes what half a response right and half a response wrong (Jeffreys) would add to that of all, so that
    neither all-right nor all-wrong candidates seem to be certain.

    It needs no references.
    """

    name: ClassVar[str] = "random_mean"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)

    def _learn(self, references: References) -> None:
        rng = np.random.default_rng(self.seed)
        items = len(references.weights)
        self.order = rng.choice(items, items, replace=False, p=references.weights)

    def _cells(self, asked: int) -> Places:
        """Shape (items,): the cell of each item, 0, 1, ... along some line, for a candidate that was asked so many."""
        return np.zeros(len(self.order), np.intp)

    def _believe(self, responses: Matrix) -> Scores:
        predicted, error = self._completed(responses)
        return Scores(predicted @ self.references.weights, error)

    def predict(self, responses: Matrix) -> Matrix:
        """The responses that there are, and for other items the mean of their cell; see the contract."""
        return np.clip(self._completed(responses)[0], 0.0, 1.0)

    def _completed(self, responses: Matrix) -> tuple[Matrix, Matrix]:
        """Shapes (candidates, items) and (candidates,): responses with the gaps filled, and the score's error."""
        asked = ~np.isnan(responses)
        counts = asked.sum(axis=1)
        predicted, errors = np.empty_like(responses), np.empty(len(responses))
        for count in np.unique(counts):
            rows = counts == count
            predicted[rows], errors[rows] = self._filled(responses[rows], asked[rows], self._cells(int(count)))
        return predicted, errors

    def _filled(self, responses: Matrix, asked: npt.NDArray[np.bool_], cells: Places) -> tuple[Matrix, Matrix]:
        member = np.eye(int(cells.max()) + 1)[cells]
        known = np.where(asked, responses, 0.0)
        count, total, squares = asked @ member, known @ member, known**2 @ member
        variance, general = _variances(count, total, squares)
        source = _nearest_filled(count)
        count, total, variance = (np.take_along_axis(a, source, axis=1) for a in (count, total, variance))
        mean = np.where(count > 0, total / np.maximum(count, 1), general)
        weights = np.where(asked, 0.0, self.references.weights)
        spread = (weights @ member) ** 2 / np.maximum(count, 1) + weights**2 @ member
        return np.where(asked, known, mean[:, cells]), np.sqrt((spread * variance).sum(axis=1))

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        return {"order": self.order}

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.order = state["order"]


def _variances(count: Matrix, total: Matrix, squares: Matrix) -> tuple[Matrix, Matrix]:
    """Shapes (candidates, cells) and (candidates, 1): variances within cells, and what is right in general."""
    asked, right = count.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True)
    some, general = np.maximum(asked, 1.0), (right + 0.5) / (asked + 1.0)
    doubt = (0.5 + right**2 / some - (asked + 1.0) * general**2) / some
    own = np.maximum(squares - total**2 / np.maximum(count, 1.0), 0.0)
    free = np.maximum(asked - (count > 0).sum(axis=1, keepdims=True), 1.0)
    pooled = own.sum(axis=1, keepdims=True) / free
    return (own + pooled) / np.maximum(count, 1.0) + doubt, general


def _nearest_filled(count: Matrix) -> Places:
    """Shape (candidates, cells): the cell with responses that is nearest on the line (itself where it has any)."""
    places = np.arange(count.shape[1])
    distance = np.abs(places[:, None] - places) + np.where(count > 0, 0.0, np.inf)[:, None, :]
    nearest: Places = np.argmin(distance, axis=2)
    return nearest
