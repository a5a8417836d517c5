"""The multidimensional two-parameter logistic model (2PL): P = sigmoid(a . theta + d) (Reckase, 2009)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...core.contracts.estimator import Matrix


@dataclass(frozen=True)
class Items:
    """The parameters of a task's items.

    Attributes:
        loadings: shape (items, dimensions): `a`, how much an item's logit grows with each ability. Any sign: an item
            that better models answer wrongly more often has a negative one.
        intercepts: shape (items,): `d`, the logit at ability 0.
    """

    loadings: Matrix
    intercepts: Matrix

    @property
    def dimensions(self) -> int:
        """How many abilities a model has."""
        return int(self.loadings.shape[1])

    @cached_property
    def squares(self) -> Matrix:
        """Shape (items, dimensions^2): each item's a a', flat."""
        return (self.loadings[:, :, None] * self.loadings[:, None, :]).reshape(len(self.loadings), -1)

    def logits(self, abilities: Matrix) -> Matrix:
        """Shape (models, items), for abilities of shape (models, dimensions)."""
        return abilities @ self.loadings.T + self.intercepts

    def spreads(self, covariances: Matrix) -> Matrix:
        """Shape (models, items): the variance a' S a of each logit, for covariances S of the abilities."""
        return np.maximum(covariances.reshape(len(covariances), self.squares.shape[1]) @ self.squares.T, 0.0)


def sigmoid(logits: Matrix) -> Matrix:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * logits)


def softplus(logits: Matrix) -> Matrix:
    """log(1 + exp(x)), without overflow."""
    return np.maximum(logits, 0.0) + np.log1p(np.exp(-np.abs(logits)))


def averaged(logits: Matrix, variances: Matrix) -> Matrix:
    """The mean of sigmoid(x) over x ~ N(logits, variances), nearly (MacKay, 1992)."""
    return sigmoid(logits / np.sqrt(1.0 + np.pi / 8.0 * variances))
