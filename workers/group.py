"""Evaluations in a row, read from the database at once, and perhaps computed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.recipe import Recipe
from ..fitness.evaluator import Evaluator
from ..storage import EvaluationRecord, Store
from .evaluating import Company, evaluate, evaluate_together
from .known import known_scores
from .outcome import Failure, Outcome


class Group:
    """Evaluates its members one by one, each as it would be if it were read from the database just then.

    Attributes:
        records: as they were when the group was read, by id.
    """

    def __init__(self, store: Store, evaluator: Evaluator, evaluation_ids: Sequence[str]) -> None:
        self._store = store
        self._evaluator = evaluator
        members = store.queue.several(evaluation_ids)
        self.records: Mapping[str, EvaluationRecord] = {record.id: record for record in members}
        self._places = {record.id: place for place, record in enumerate(members)}
        recipes = store.candidates.recipes([record.candidate_id for record in members])
        self._recipes = [recipes[record.candidate_id] for record in members]
        self._done_before = store.results.keys_done([record.eval_key for record in members])
        self._company: Company | None = None

    def evaluate(self, record: EvaluationRecord) -> Outcome | Failure:
        """What comes of a member."""
        scores = None
        if record.items is not None or record.eval_key in self._done_before:
            scores = known_scores(self._store, record)
        company = {} if scores is not None else self._computed_together(record)
        place = self._places[record.id]
        recipe = Recipe.from_dict(self._recipes[place])
        found = evaluate(self._evaluator, recipe, record.stage, record.items, scores, company.get(place))
        self._done_before.add(record.eval_key)
        return found

    def _computed_together(self, record: EvaluationRecord) -> Company:
        """What came of it when the group was computed together, which is now if it has not been."""
        if self._company is None:
            self._company = {}
            if all((other.items, other.stage) == (record.items, record.stage) for other in self.records.values()):
                recipes = [Recipe.from_dict(content) for content in self._recipes]
                self._company = evaluate_together(self._evaluator, recipes, record.stage, record.items)
        return self._company
