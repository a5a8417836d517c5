"""Asking candidates some of the search items, and reading what they have answered so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..core.contracts import Executor
from ..core.contracts.estimator import Matrix, Places
from ..core.errors import OptimizerError
from ..core.recipe import Recipe
from ..storage import CHECK_PART, CandidateRecord, EvaluationRecord, Store
from .candidate import name_of
from .eval_keys import EvaluationKeys
from .progress import Evaluated

ItemIds = Mapping[str, Sequence[str]]
ItemScores = dict[str, dict[str, float]]


class Asking:
    """Asks through an executor; everything is recorded, so that nothing is asked twice.

    Args:
        items: by task, the ids of its items: the pool, task after task.
    """

    def __init__(
        self, study_id: str, store: Store, executor: Executor, keys: EvaluationKeys, items: Mapping[str, Sequence[str]]
    ) -> None:
        self._study_id = study_id
        self._store = store
        self._executor = executor
        self._keys = keys
        self.items = items

    def ask(
        self,
        part: int,
        asked: Sequence[tuple[CandidateRecord, ItemIds | None]],
        evaluated: Evaluated,
    ) -> None:
        """Asks each candidate its items (None: all of the stage's), as this part of its evaluation.

        Raises:
            OptimizerError: other items are recorded for the part.
        """
        queued = [self._queued(part, candidate, items) for candidate, items in asked]
        for evaluation_id in self._executor.run([evaluation.id for evaluation in queued]):
            evaluated(evaluation_id)

    def answers(self, candidate: CandidateRecord) -> ItemScores:
        """By task and item id, its response, but for those to a check of estimates."""
        found = self._store.results.responses(candidate.id, "search", below=CHECK_PART)
        return {
            task: dict(zip(responses.item_set.item_ids, responses.scores, strict=True))
            for task, responses in found.items()
        }

    def row(self, candidate: CandidateRecord) -> Matrix:
        """Shape (items,): its responses to the pool, NaN where there is none."""
        answers = self.answers(candidate)
        found: Matrix = np.array(
            [answers.get(task, {}).get(id_, np.nan) for task, ids in self.items.items() for id_ in ids]
        )
        return found

    def parts(self, candidate: CandidateRecord) -> dict[int, EvaluationRecord]:
        """Its evaluations on search items, by part."""
        found = self._store.queue.parts(self._study_id, "search").get(candidate.id, ())
        return {evaluation.part: evaluation for evaluation in found}

    def ids(self, places: Mapping[str, Places]) -> dict[str, tuple[str, ...]]:
        """The ids of items at these places of the tasks."""
        return {task: tuple(self.items[task][place] for place in of_task) for task, of_task in places.items()}

    def _queued(self, part: int, candidate: CandidateRecord, items: ItemIds | None) -> EvaluationRecord:
        key = self._keys.key(Recipe.from_dict(candidate.recipe), "search", items)
        evaluation = self._store.queue.ensure(candidate.id, "search", key, part, items)
        if evaluation.items != items:
            raise OptimizerError(
                f"replayed, {name_of(candidate)} would be asked other items than are recorded: an installed version "
                "has changed since. Install the recorded versions (`heterosis status` lists them), or start a new study"
            )
        return evaluation


def count(evaluation: EvaluationRecord) -> int:
    """How many items a part of an evaluation asks."""
    return sum(len(ids) for ids in (evaluation.items or {}).values())
