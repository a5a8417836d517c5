"""Contract `heterosis.estimators`: a model's score on all items of a task, from its responses to few of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError

Matrix: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.intp]

_NOTHING: Any = None


@dataclass(frozen=True)
class References:
    """Models that have answered a task's items: what an estimator learns from.

    Attributes:
        responses: shape (references, items), in [0, 1]; NaN where a model was not asked.
        weights: shape (items,), positive, sum 1: a model's score is the weighted sum of its responses. Default: equal.
        strata: shape (items,): the number of the group (a subject, a source) that each item is of. Default: one group.
        importance: shape (references,), positive, mean 1: how much each counts in the fit. Default: equal.
        sources: rows of the models that candidates are merged from.

    Raises:
        ConfigurationError: shapes do not fit, a response is outside [0, 1], or a weight is not positive.
    """

    responses: Matrix
    weights: Matrix = field(default=_NOTHING)
    strata: Places = field(default=_NOTHING)
    importance: Matrix = field(default=_NOTHING)
    sources: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        responses = np.asarray(self.responses, dtype=np.float64)
        if responses.ndim != 2 or responses.shape[1] == 0:
            raise ConfigurationError(f"responses are of shape {responses.shape}, not (references, items)")
        if np.any((responses < 0) | (responses > 1)):  # NaN compares false
            row, item = np.argwhere((responses < 0) | (responses > 1))[0]
            raise ConfigurationError(
                f"response of reference {row} to item {item} is {responses[row, item]}; a response is between 0 and 1"
            )
        models, items = responses.shape
        weights = _positive("weights", self.weights, items, total=1.0)
        importance = _positive("importance", self.importance, models, total=float(models))
        strata = np.zeros(items, np.intp) if self.strata is None else np.asarray(self.strata, np.intp)
        if strata.shape != (items,):
            raise ConfigurationError(f"{strata.size} strata for {items} items")
        for source in self.sources:
            if not 0 <= source < models:
                raise ConfigurationError(f"source {source} is no row of {models} references")
        for name, value in {
            "responses": responses,
            "weights": weights,
            "strata": strata,
            "importance": importance,
        }.items():
            object.__setattr__(self, name, value)

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """Shape (references,): which models have answered every item."""
        return np.asarray(np.isfinite(self.responses).all(axis=1), np.bool_)

    @property
    def scores(self) -> Matrix:
        """Shape (references,): each model's score; NaN if it has not answered every item."""
        scores: Matrix = self.responses @ self.weights
        return scores

    def take(self, rows: Places) -> References:
        """Only these references, in this order."""
        places = {int(row): place for place, row in enumerate(rows)}
        sources = tuple(places[source] for source in self.sources if source in places)
        return References(self.responses[rows], self.weights, self.strata, self.importance[rows], sources)


@dataclass(frozen=True)
class Scores:
    """Estimated scores of several candidates.

    Attributes:
        mean: shape (candidates,), in [0, 1].
        standard_error: shape (candidates,), of the score on all items, >= 0 (0 where all were asked).
    """

    mean: Matrix
    standard_error: Matrix


class Estimator(ABC):
    """Says which items to ask a candidate, and what its score on all of them is likely to be.

    Works on any number of candidates at once and keeps nothing of them: their responses come as one matrix of shape
    (candidates, items), in the order of the references' items, with NaN where an item was not asked. It is
    deterministic: the same references, seed, options and responses give the same items and figures.

    Attributes:
        adaptive: whether the items that it asks for depend on the responses so far. If not, all candidates are asked
            the same items in the same order, and compare item by item.
        least_references: how many models must have answered every item before it can be fitted.
        seed, options: what it was made with.
    """

    name: ClassVar[str]
    adaptive: bool = False
    least_references: int = 0

    def __init__(self, seed: int = 0, **options: Any) -> None:
        self.seed = seed
        self.options = options

    def fresh(self) -> Self:
        """Another one of the same seed and options, not fitted."""
        return type(self)(seed=self.seed, **self.options)

    @abstractmethod
    def fit(self, references: References) -> None:
        """Learns from models that have answered.

        Raises:
            ConfigurationError: fewer than `least_references` of them have answered every item.
        """

    @abstractmethod
    def next_items(self, responses: Matrix, count: int) -> Places:
        """The items to ask next, best first.

        Returns:
            Shape (candidates, k): distinct items that the candidate was not asked; k is `count`, or as many as are
            left for the one that has the fewest left.
        """

    @abstractmethod
    def estimate(self, responses: Matrix) -> Scores:
        """Scores on all items. A candidate that was asked nothing gets what is expected of any."""

    @abstractmethod
    def predict(self, responses: Matrix) -> Matrix:
        """Shape (candidates, items), in [0, 1]: the expected response to each item, whether it was asked or not."""

    @abstractmethod
    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """What was learned, as arrays (no objects), to be kept in an npz file."""

    @abstractmethod
    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes over what `state` gave: from then on it answers as the one that was asked for it."""


def _positive(what: str, given: Matrix | None, count: int, total: float) -> Matrix:
    """`given`, or equal numbers, scaled to a sum."""
    values = np.ones(count) if given is None else np.asarray(given, dtype=np.float64)
    if values.shape != (count,):
        raise ConfigurationError(f"{values.size} {what} for {count}")
    if not np.all(np.isfinite(values) & (values > 0)):
        raise ConfigurationError(f"{what} must be positive, not {values[~(np.isfinite(values) & (values > 0))][0]}")
    return values * (total / values.sum()) if count else values
