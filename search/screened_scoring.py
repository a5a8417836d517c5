"""Scores in two stages: all candidates of an ask answer few items, and the best of them answer every item."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.contracts import Executor
from ..core.estimate import Estimate
from ..core.recipe import Recipe
from ..core.screen_spec import SCREEN
from ..core.study_spec import StudySpec
from ..fitness.evaluator import Evaluator
from ..storage import CandidateRecord, Store, ToldRecord
from .asking import Asking
from .eval_keys import EvaluationKeys
from .progress import Evaluated
from .ranking import values_of
from .scoring import Scoring, proposed_first

FEW, ALL = 0, 1
"""The parts of a candidate's evaluation."""
GIVEN = "given"
"""The operator of candidates that an optimizer was told to try."""


class ScreenedScoring(Scoring):
    """The new candidates of an ask are ranked by their mean response to the items of the screen; the best go on.

    Responses are higher the better for every task, whichever way its figure points. Candidates that the optimizer was
    given are never left out, and so are not screened. One that is left out counts as worse than any that is not. It
    has no figure of any objective, and so is in no ranking; its mean response is recorded as `screen`.
    """

    def __init__(
        self,
        spec: StudySpec,
        study_id: str,
        store: Store,
        executor: Executor,
        keys: EvaluationKeys,
        evaluator: Evaluator,
    ) -> None:
        assert spec.screen is not None
        self._spec = spec
        self._screen = spec.screen
        self._store = store
        pool = {name: tuple(item.id for item in group.items) for name, group in evaluator.items["search"].items()}
        self._few = {spec.screen.task: pool[spec.screen.task][: spec.screen.items]}
        self._asking = Asking(study_id, store, executor, keys, pool)

    def key(self, recipe: Recipe) -> None:
        """None: whether a candidate is asked few items first depends on the others of its ask."""

    def score(
        self, ask_no: int, candidates: Sequence[CandidateRecord], evaluated: Evaluated
    ) -> list[ToldRecord | None]:
        """Screens those that are new in this ask, and evaluates those that go on; see `Scoring`."""
        new = proposed_first(ask_no, candidates)
        out = self._left_out([candidate for candidate in new if candidate.operator != GIVEN], evaluated)
        self._asking.ask(ALL, [(candidate, None) for candidate in new if candidate.id not in out], evaluated)
        found = self._store.candidates.several([candidate.id for candidate in candidates])
        return [self._told(found[candidate.id]) for candidate in candidates]

    def _left_out(self, candidates: Sequence[CandidateRecord], evaluated: Evaluated) -> set[str]:
        """The ids of those that are not asked everything, because they failed or others did better."""
        kept = self._screen.count(len(candidates))
        if kept == len(candidates):
            return set()
        self._asking.ask(FEW, [(candidate, self._few) for candidate in candidates], evaluated)
        known = {candidate.id: self._figure(candidate) for candidate in candidates}
        figures = {id_: figure for id_, figure in known.items() if figure is not None}
        worse = sorted(figures, key=lambda id_: -figures[id_].mean)[kept:]  # stable: of equals, the first goes on
        for id_ in worse:
            self._record(id_, figures[id_])
        over = self._store.candidates.several(worse).values()
        evaluated(*(candidate.evaluations["search"].id for candidate in over))
        return (known.keys() - figures.keys()) | set(worse)

    def _figure(self, candidate: CandidateRecord) -> Estimate | None:
        """The mean of its responses to the few items, whatever it was asked since; None if it failed."""
        answers = self._store.results.responses(candidate.id, "search", below=ALL)
        return Estimate.from_scores(answers[self._screen.task].scores) if answers else None

    def _record(self, candidate_id: str, figure: Estimate) -> None:
        measured = {SCREEN: figure}
        if self._store.candidates.get(candidate_id).measurements.get("search") != measured:
            self._store.results.measure(candidate_id, "search", measured)

    def _told(self, candidate: CandidateRecord) -> ToldRecord | None:
        values = values_of(candidate, self._spec.objectives)
        # all that are told have answered the same items, so their differences say more than standard errors do
        return None if values is None else ToldRecord(values, (0.0,) * len(values))
