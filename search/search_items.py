"""Which search items each model of a study was asked, and what it answered: read from the database alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..core.estimate import Estimate
from ..storage import LATER_PARTS, REST_PART, EvaluationRecord, Store

ItemScores = dict[str, dict[str, float]]


class SearchItems:
    """The answers of a study's models to its search items.

    Attributes:
        pool: by task, the ids of all its items, as far as any model was asked them; in an estimated study the sources
            are, before all others.
        answers: by candidate id, task and item id, the response in [0, 1].
    """

    def __init__(self, store: Store, study_id: str) -> None:
        self.answers: dict[str, ItemScores] = {
            candidate_id: {
                task: dict(zip(responses.item_set.item_ids, responses.scores, strict=True))
                for task, responses in by_task.items()
            }
            for candidate_id, by_task in store.results.responses_of_study(study_id, "search").items()
        }
        self.pool: dict[str, tuple[str, ...]] = {}
        for by_task in self.answers.values():
            for task, answered in by_task.items():
                if len(answered) > len(self.pool.get(task, ())):
                    self.pool[task] = tuple(answered)
        self._parts = store.queue.parts(study_id, "search")

    def size(self, tasks: Sequence[str] | None = None) -> int:
        """How many items these tasks have; default: all tasks."""
        return sum(len(self.pool.get(task, ())) for task in (self.pool if tasks is None else tasks))

    def raced(self, candidate_id: str, tasks: Sequence[str] | None = None) -> int:
        """How many items of these tasks (default: all) it was asked in the race of its ask, or at once."""
        parts = [part for part in self._answered(candidate_id) if part.part < LATER_PARTS]
        return sum(self._count(part, tasks) for part in parts)

    def later(self, candidate_id: str, part: int) -> int:
        """How many items it was asked in one of the later parts (RETEST_PART, REST_PART, CHECK_PART)."""
        return sum(self._count(found) for found in self._answered(candidate_id) if found.part == part)

    def whole(self, candidate_id: str, tasks: Sequence[str]) -> bool:
        """Whether it has answered every item of these tasks."""
        answers = self.answers.get(candidate_id, {})
        return all(task in self.pool and len(answers.get(task, ())) == len(self.pool[task]) for task in tasks)

    def score(self, candidate_id: str, tasks: Sequence[str]) -> float | None:
        """The mean over tasks of its mean response to all of a task's items; None if it has not answered them all."""
        if not tasks or not self.whole(candidate_id, tasks):
            return None
        answers = self.answers[candidate_id]
        return math.fsum(math.fsum(answers[task].values()) / len(answers[task]) for task in tasks) / len(tasks)

    def unseen(self, candidate_id: str, tasks: Sequence[str]) -> Estimate | None:
        """Its score on the items that it was asked last, which had no part in choosing it; None without such items."""
        rest = next((part.items for part in self._answered(candidate_id) if part.part == REST_PART), None) or {}
        answers = self.answers[candidate_id] if rest else {}
        scores = [[answers[task][id_] for id_ in rest[task]] for task in tasks if rest.get(task)]
        return Estimate.mean_of([Estimate.from_scores(of_task) for of_task in scores]) if scores else None

    def _answered(self, candidate_id: str) -> list[EvaluationRecord]:
        return [part for part in self._parts.get(candidate_id, ()) if part.state == "succeeded"]

    def _count(self, part: EvaluationRecord, tasks: Sequence[str] | None = None) -> int:
        if part.items is None:
            return self.size(tasks)
        return sum(len(ids) for task, ids in part.items.items() if tasks is None or task in tasks)
