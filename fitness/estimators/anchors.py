"""Estimator `anchors`: few items that each stand for the items which the references answered likewise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Matrix, Places, References, Scores
from ...core.errors import ConfigurationError
from ..response_model.marginal import fit_marginal
from .asked_sets import asked_sets
from .base import CalibratedEstimator
from .clusters import Clustering

VECTORS = ("responses", "parameters")


class Anchors(CalibratedEstimator):
    """Weighted sum of the responses to anchor items (tinyBenchmarks; Maia Polo et al., 2024).

    Anchors are the items nearest to the centres of k-means on item vectors. Whatever items were asked, each item's
    weight goes to the asked item that is nearest to it (shared equally between those that are equally near), and its
    expected response is that item's. So the estimate holds for anchors of any number, for anchors that were asked in
    several goes (later clusters are found around the items asked before), and for other items among them.

    The standard error is the error (root mean square) of the same items and weights for the references, and for one
    more model whose answers to the items not asked are coin tosses.

    Args:
        seed: of the k-means starts.
        vectors: what an item is likened by: the references' `responses` to it, or its `parameters` in the 2PL.

    Raises:
        ConfigurationError: `vectors` is neither.
    """

    name: ClassVar[str] = "anchors"
    least_references = 5

    def __init__(self, seed: int = 0, vectors: str = "responses") -> None:
        if vectors not in VECTORS:
            raise ConfigurationError(f"vectors are {vectors!r}; they are one of {', '.join(VECTORS)}")
        super().__init__(seed, vectors=vectors)

    def _learn(self, references: References) -> None:
        complete = references.take(np.flatnonzero(references.complete))
        self._answers = complete.responses
        self._importance = complete.importance / complete.importance.sum()
        if self.options["vectors"] == "parameters":
            items = fit_marginal(references.responses, references.importance).items
            vectors = np.column_stack([items.loadings, items.intercepts])
        else:
            vectors = (complete.responses * np.sqrt(complete.importance)[:, None]).T
        self._items = Clustering(vectors, references.weights)

    def next_items(self, responses: Matrix, count: int) -> Places:
        """Anchors of `count` clusters around the items asked; see the contract."""
        asked = np.isfinite(responses)
        count = min(count, int((~asked).sum(axis=1).min(initial=asked.shape[1])))
        found = np.empty((len(responses), count), np.intp)
        for rows, chosen in asked_sets(responses):
            lots = np.random.default_rng([self.seed, len(chosen), count])
            found[rows] = self._items.anchors(chosen, count, lots)
        return found

    def predict(self, responses: Matrix) -> Matrix:
        """Each item as the asked one that is nearest to it; see the contract."""
        expected = np.empty_like(responses)
        for rows, chosen, shares in self._nearest(responses):
            expected[rows] = responses[np.ix_(rows, chosen)] @ shares.T
            if not len(chosen):
                expected[rows] = self._importance @ self._answers
        return expected

    def _believe(self, responses: Matrix) -> Scores:
        weights, models = self.references.weights, len(self._answers)
        truth = self._answers @ weights
        mean, error = np.empty(len(responses)), np.empty(len(responses))
        for rows, chosen, shares in self._nearest(responses):
            sizes = weights @ shares
            mean[rows] = responses[np.ix_(rows, chosen)] @ sizes
            expected = self._answers[:, chosen] @ sizes
            if not len(chosen):
                mean[rows] = expected = self._importance @ truth
            tosses = (weights**2).sum() - (weights[chosen] ** 2).sum()
            off = models * self._importance @ (expected - truth) ** 2 + max(tosses, 0.0) / 4.0
            error[rows] = np.sqrt(off / (models + 1))
        return Scores(mean, error)

    def _nearest(self, responses: Matrix) -> Iterator[tuple[Places, Places, Matrix]]:
        """For candidates that were asked the same: their rows, the items, and every item's shares in them."""
        ever = np.flatnonzero(np.isfinite(responses).any(axis=0))
        apart = self._items.distances(self._items.vectors[ever])
        apart[ever, np.arange(len(ever))] = -1.0  # an item stands for itself before its copies do
        for rows, chosen in asked_sets(responses[:, ever]):
            near = apart[:, chosen]
            shares = (near == near.min(axis=1, keepdims=True, initial=np.inf)).astype(np.float64)
            shares /= shares.sum(axis=1, keepdims=True)
            yield rows, ever[chosen], shares

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        return {
            "vectors": self._items.vectors,
            "weights": self._items.weights,  # to the last bit, which decides between clusters of one size
            "answers": self._answers,
            "importance": self._importance,
        }

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self._items = Clustering(state["vectors"], state["weights"])
        self._answers, self._importance = state["answers"], state["importance"]
