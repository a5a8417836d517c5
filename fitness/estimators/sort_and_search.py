"""Sort & Search: items from easy to hard, and the place on that line up to which a candidate is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from ...core.contracts.estimator import Matrix, Places, References, Scores
from .fixed_order import FixedOrderEstimator, spread_along


class SortAndSearch(FixedOrderEstimator):
    """Takes a candidate to be right on every item before its place on the line, and wrong on every item behind.

    The place is where right minus wrong responses before it are the most (Prabhu et al., Efficient Lifelong Model
    Evaluation in an Era of Rapid Progress, 2024); before the first item where that is never positive. A response y in
    [0, 1] counts 2y - 1. The standard error is of the place, each misfit being as likely as those that are seen.
    """

    name: ClassVar[str] = "sort_and_search"
    least_references = 1

    line: Places
    typical: int

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)

    def _learn(self, references: References) -> None:
        known, items = references.take(np.flatnonzero(references.complete)), len(references.weights)
        self.line = easy_to_hard(known.responses, known.importance)
        self.typical = round(float(known.importance @ known.responses.mean(axis=1) / known.importance.sum() * items))
        self.order = spread_along(self.line, references.weights, np.random.default_rng(self.seed))

    def _believe(self, responses: Matrix) -> Scores:
        weights = self.references.weights[self.line]
        answers = responses[:, self.line]
        asked = ~np.isnan(answers)
        known = np.where(asked, answers, 0.0)
        place = self._places(answers)
        before = np.arange(len(weights)) < place[:, None]
        misfits = np.where(asked, np.abs(known - before), 0.0).sum(axis=1)
        misfit = (misfits + 0.5) / (asked.sum(axis=1) + 1.0)
        rest = np.where(asked, 0.0, weights)
        scores = _before(rest) + (known @ weights)[:, None]
        likely = softmax(_heights(answers) * np.maximum(np.log((1.0 - misfit) / misfit), 0.0)[:, None], axis=1)
        mean = np.take_along_axis(scores, place[:, None], axis=1)
        variance = (likely * (scores - mean) ** 2).sum(axis=1) + (rest**2).sum(axis=1) * misfit * (1.0 - misfit)
        return Scores(np.clip(mean[:, 0], 0.0, 1.0), np.sqrt(variance))

    def predict(self, responses: Matrix) -> Matrix:
        """The responses that there are, 1 before the candidate's place and 0 behind; see the contract."""
        rank = np.argsort(self.line)
        right = rank < self._places(responses[:, self.line])[:, None]
        return np.where(np.isnan(responses), right.astype(np.float64), responses)

    def _places(self, answers: Matrix) -> Places:
        """Shape (candidates,): how many items are before the place; in the middle of where it may be."""
        asked = ~np.isnan(answers)
        items = np.arange(answers.shape[1])
        first = np.argmax(_heights(answers), axis=1)
        following = np.where(asked & (items >= first[:, None]), items, len(items)).min(axis=1)
        middle = np.where(following == len(items), following, (first + following) // 2)
        found: Places = np.where(first == 0, np.where(asked.any(axis=1), 0, self.typical), middle).astype(np.intp)
        return found

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        return {"order": self.order, "line": self.line, "typical": np.array(self.typical)}

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.order, self.line, self.typical = state["order"], state["line"], int(state["typical"])


def _before(values: Matrix) -> Matrix:
    """Shape (models, items + 1): the sum of what lies before each place on the line."""
    return np.pad(np.cumsum(values, axis=1), ((0, 0), (1, 0)))


def _heights(sorted_responses: Matrix) -> Matrix:
    """Shape (models, items + 1): how many more were right than wrong before each place on the line."""
    return _before(np.where(np.isnan(sorted_responses), 0.0, 2.0 * sorted_responses - 1.0))


def easy_to_hard(responses: Matrix, importance: Matrix) -> Places:
    """Shape (items,): the items from the one that most models got right to the one that fewest did.

    Items of equal sums are sorted by the sums over only those models whose place is among them, and so on ("recursive
    sum").

    Args:
        responses: shape (models, items), in [0, 1].
        importance: shape (models,), positive.
    """
    sums = importance @ responses
    line = np.argsort(-sums, kind="stable")
    steps = np.flatnonzero(np.abs(np.diff(sums[line])) > 1e-9 * importance.sum()) + 1
    if len(steps) == 0:
        return line
    places = np.argmax(_heights(responses[:, line]), axis=1)
    for start, end in zip(np.r_[0, steps], np.r_[steps, len(line)], strict=True):
        inside = (places > start) & (places < end)
        if inside.any():
            block = line[start:end]
            line[start:end] = block[easy_to_hard(responses[np.ix_(inside, block)], importance[inside])]
    return line
