"""From the searched candidates to a winner: finalists on validation items, then winner and references on test items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.contracts import Executor
from ..core.recipe import Recipe
from ..core.stage import Stage
from ..core.study_spec import StudySpec
from ..fitness.evaluator import Evaluator
from ..storage import CandidateRecord, Store
from .eval_keys import EvaluationKeys
from .progress import Evaluated
from .ranking import ranked, values_of


class Selection:
    """Evaluates finalists and references at the later stages; what is recorded already is not evaluated again."""

    def __init__(
        self,
        spec: StudySpec,
        study_id: str,
        store: Store,
        executor: Executor,
        keys: EvaluationKeys,
        evaluator: Evaluator,
    ) -> None:
        self._spec = spec
        self._study_id = study_id
        self._store = store
        self._executor = executor
        self._keys = keys
        self._evaluator = evaluator

    def has_stage(self, stage: Stage) -> bool:
        """Whether the first objective can be measured at a stage."""
        return all(task in self._evaluator.items[stage] for task in self._spec.objectives[0].tasks)

    def finalists(self) -> list[CandidateRecord]:
        """The best candidates by the first objective on the search items."""
        bred = self._store.candidates.all(self._study_id, "bred")
        cautious = self._spec.fitness is not None
        return ranked(bred, self._spec.objectives[0], cautious=cautious)[: self._spec.finalists]

    def validate(self, evaluated: Evaluated) -> list[CandidateRecord]:
        """The finalists, evaluated on the validation items, best first (as they were, if there are no such items)."""
        finalists = self.finalists()
        if not self.has_stage("validation"):
            return finalists
        return ranked(self._at(finalists, "validation", evaluated), self._spec.objectives[0], "validation")

    def references(self) -> list[CandidateRecord]:
        """Base, sources and uniform average, as candidates that were never searched."""
        recipes: Mapping[str, Recipe] = self._spec.space.references()
        return [
            self._store.candidates.add_reference(self._study_id, label, recipe.to_dict(), recipe.hash)
            for label, recipe in recipes.items()
        ]

    def test(self, winner: CandidateRecord, evaluated: Evaluated) -> list[CandidateRecord]:
        """References and winner, evaluated on the test items, in this order; nothing if there are none."""
        if not self.has_stage("test"):
            return []
        return self._at([*self.references(), winner], "test", evaluated)

    def _at(self, candidates: Sequence[CandidateRecord], stage: Stage, evaluated: Evaluated) -> list[CandidateRecord]:
        waiting = [
            self._store.queue.ensure(candidate.id, stage, self._keys.key(Recipe.from_dict(candidate.recipe), stage)).id
            for candidate in candidates
            if values_of(candidate, self._spec.objectives[:1], stage) is None
        ]
        for evaluation_id in self._executor.run(waiting):
            evaluated(evaluation_id)
        found = self._store.candidates.several([candidate.id for candidate in candidates])
        return [found[candidate.id] for candidate in candidates]
