"""Stratified mean: items spread evenly over strata and difficulty, and each part counted by its weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Places, References
from .fixed_order import spread_along
from .random_mean import RandomMean


class StratifiedMean(RandomMean):
    """A mean over items on a line, which is cut into as many cells as the responses can fill.

    The line runs through the strata, and where there are references from the items that few of them got right to those
    that most did (in `bins` parts of equal number; in each, through the strata). Items are asked so that the first few,
    however many, are spread along it. Cochran, Sampling Techniques (1977), ch. 5A (post-stratification).

    Args:
        bins: into how many levels of difficulty the items are sorted, >= 1.
        per_cell: responses to a cell, >= 1: how many more are needed for one more cell.
    """

    name: ClassVar[str] = "stratified_mean"

    def __init__(self, seed: int = 0, bins: int = 10, per_cell: int = 5) -> None:
        super(RandomMean, self).__init__(seed, bins=bins, per_cell=per_cell)
        self.bins = bins
        self.per_cell = per_cell

    def _learn(self, references: References) -> None:
        rng = np.random.default_rng(self.seed)
        by_chance = rng.permutation(len(references.weights))
        self.line = np.lexsort((by_chance, references.strata, difficulty(references, self.bins)))
        self.order = spread_along(self.line, references.weights, rng)

    def _cells(self, asked: int) -> Places:
        lengths = self.references.weights[self.line]
        middles = np.cumsum(lengths) - lengths / 2
        number = min(max(asked // self.per_cell, 1), len(self.line))
        cells = np.empty(len(self.line), np.intp)
        cells[self.line] = np.minimum((middles * number).astype(np.intp), number - 1)
        return cells

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        return {"order": self.order, "line": self.line}

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.order, self.line = state["order"], state["line"]


def difficulty(references: References, bins: int) -> Places:
    """Shape (items,): the level from 0, hardest, to bins - 1; items with the same mean have the same. 0 if unknown."""
    answered = ~np.isnan(references.responses)
    importance = references.importance @ answered
    right = references.importance @ np.where(answered, references.responses, 0.0)
    mean = right / np.where(importance > 0, importance, 1.0)
    edges = np.quantile(mean, np.arange(1, bins) / bins)
    return np.searchsorted(edges, mean, side="right").astype(np.intp)
