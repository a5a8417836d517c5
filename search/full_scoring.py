"""Scores on every search item: what a candidate answers is its score."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.contracts import Executor
from ..core.recipe import Recipe
from ..core.study_spec import StudySpec
from ..storage import CandidateRecord, Store, ToldRecord
from .eval_keys import EvaluationKeys
from .progress import Evaluated
from .ranking import values_of
from .scoring import Scoring


class FullScoring(Scoring):
    """Every candidate answers every search item."""

    def __init__(self, spec: StudySpec, store: Store, executor: Executor, keys: EvaluationKeys) -> None:
        self._spec = spec
        self._store = store
        self._executor = executor
        self._keys = keys
        self._earlier: set[str] = set()

    def key(self, recipe: Recipe) -> str:
        """That of the whole search stage."""
        return self._keys.key(recipe, "search")

    def score(
        self, ask_no: int, candidates: Sequence[CandidateRecord], evaluated: Evaluated
    ) -> list[ToldRecord | None]:
        """Evaluates those that have not been; see `Scoring`."""
        searches = {candidate.id: candidate.evaluations["search"] for candidate in candidates}
        waiting = {key: search.id for key, search in searches.items() if search.state in ("queued", "running")}
        if waiting:
            # with those that are over, so that an executor meets the same company however often it is resumed
            company = [search.id for key, search in searches.items() if key in waiting or key not in self._earlier]
            new = set(waiting.values())
            for evaluation_id in self._executor.run(company):
                if evaluation_id in new:
                    evaluated(evaluation_id)
        results = {candidate.id: candidate for candidate in candidates}
        results |= self._store.candidates.several(list(waiting))
        return [self.told(results[candidate.id]) for candidate in candidates]

    def settle(
        self,
        ask_no: int,
        candidates: Sequence[CandidateRecord],
        told: Sequence[ToldRecord | None],
        evaluated: Evaluated,
    ) -> None:
        """Remembers who has been scored."""
        self._earlier |= {candidate.id for candidate in candidates}

    def told(self, candidate: CandidateRecord) -> ToldRecord | None:
        """What the optimizer is to be told of a candidate that was evaluated; None if it failed."""
        values = values_of(candidate, self._spec.objectives)
        # all candidates answered the same items, so their differences say more than their standard errors do
        return None if values is None else ToldRecord(values, (0.0,) * len(values))
