"""Estimators that ask every candidate the same items in the same order, so that candidates compare item by item."""

from __future__ import annotations

import numpy as np

from ...core.contracts.estimator import Matrix, Places
from .base import CalibratedEstimator


class FixedOrderEstimator(CalibratedEstimator):
    """An estimator whose `_learn` and `_restore` set an order of asking.

    Attributes:
        order: shape (items,), the items from the first to ask to the last.
    """

    order: Places

    def next_items(self, responses: Matrix, count: int) -> Places:
        """The first items in the order that the candidate was not asked; see the contract."""
        asked = ~np.isnan(responses[:, self.order])
        left = min(count, int((~asked).sum(axis=1).min(initial=len(self.order))))
        return self.order[np.argsort(asked, axis=1, kind="stable")[:, :left]]


def spread_along(line: Places, weights: Matrix, rng: np.random.Generator) -> Places:
    """Items on a line in an order in which each first few are spread over the line, in proportion to weight.

    The points of the golden-ratio sequence are spread evenly whatever their number; each takes the nearest item left.

    Args:
        line: shape (items,), the items as they lie.
        weights: shape (items,), positive: the length that each has on the line.
        rng: shifts the sequence.

    Returns:
        Shape (items,).
    """
    lengths = weights[line]
    middles = (np.cumsum(lengths) - lengths / 2) / lengths.sum()
    points = (rng.random() + np.arange(len(line)) * ((np.sqrt(5.0) - 1.0) / 2.0)) % 1.0
    chosen = np.empty(len(line), np.intp)
    for turn, point in enumerate(points):
        chosen[turn] = np.argmin(np.abs(middles - point))
        middles[chosen[turn]] = np.inf
    return line[chosen]
