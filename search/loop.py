"""The search loop in turns: ask, record, score, tell; and the replay by which an interrupted search goes on."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.study_spec import StudySpec
from ..storage import CandidateRecord, Store, ToldRecord
from .progress import Evaluated, ignored
from .recorded_optimizer import RecordedOptimizer
from .scoring import Scoring

MOST_AT_ONCE = 500
"""The largest ask. It is one transaction, and what waits of it is looked through whenever a worker takes something."""


class SearchLoop:
    """Runs a study's search up to a number of proposals, an ask after the other.

    The database is the only state: the optimizer is made anew from its seed, asked and told again what is recorded, and
    then goes on. The same seed and the same results give the same next candidates.
    """

    def __init__(self, spec: StudySpec, study_id: str, store: Store, scoring: Scoring) -> None:
        self._spec = spec
        self._study_id = study_id
        self._store = store
        self._scoring = scoring

    def run(self, proposals: int, evaluated: Evaluated = ignored) -> None:
        """Evaluates until `proposals` have been made in all; `evaluated` is called after each evaluation.

        Raises:
            OptimizerError: the optimizer proposes something else than is recorded.
            HeterosisError: what concerns all candidates; what concerns one is recorded with it.
        """
        optimizer = RecordedOptimizer(self._spec, self._study_id, self._store, self._scoring.key)
        recorded = self._store.asks.all(self._study_id)
        ask_no = made = 0
        self._scoring.begin(evaluated)
        while made < proposals or ask_no < len(recorded):
            known: Sequence[ToldRecord | None] | None = None
            if ask_no < len(recorded):
                optimizer.replay(recorded[ask_no])
                candidates: Sequence[CandidateRecord] = recorded[ask_no].candidates
                known = recorded[ask_no].told
            else:
                candidates = optimizer.ask(ask_no, min(proposals - made, MOST_AT_ONCE))
            told = known if known is not None else self._scoring.score(ask_no, candidates, evaluated)
            optimizer.tell(candidates, told)
            if known is None:
                self._store.asks.mark_told(self._study_id, ask_no, told)
            self._scoring.settle(ask_no, candidates, told, evaluated)
            made += len(candidates)
            ask_no += 1
        self._scoring.finish(evaluated)
