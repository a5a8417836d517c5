"""The search loop in steady state: whenever an evaluation is over, the optimizer is told and asked for another."""

from __future__ import annotations

from ..core.contracts import Executor
from ..core.errors import PluginError
from ..core.study_spec import StudySpec
from ..storage import CandidateRecord, Store
from .course import Course
from .full_scoring import FullScoring
from .progress import Evaluated, ignored
from .recorded_optimizer import RecordedOptimizer


class SteadyLoop:
    """Runs a study's search up to a number of proposals, of which as many are under way as the executor can use.

    The database is the only state: asks and tells are replayed in the order in which they were made, and the search
    goes on with the proposals that had not been told.
    """

    def __init__(self, spec: StudySpec, study_id: str, store: Store, scoring: FullScoring, executor: Executor) -> None:
        self._spec = spec
        self._study_id = study_id
        self._store = store
        self._scoring = scoring
        self._executor = executor

    def run(self, proposals: int, evaluated: Evaluated = ignored) -> None:
        """Evaluates until `proposals` have been made in all; `evaluated` is called after each evaluation.

        Raises:
            OptimizerError: the optimizer works in turns only, or proposes something else than is recorded.
            HeterosisError: what concerns all candidates; what concerns one is recorded with it.
        """
        optimizer = RecordedOptimizer(self._spec, self._study_id, self._store, self._scoring.key)
        optimizer.steady_state()
        course = Course(optimizer, self._study_id, self._store, self._scoring.told)
        course.replay(self._store.asks.all(self._study_id))
        submitted: set[str] = set()
        for candidate in course.open:
            self._take_up(course, candidate, submitted)
        while True:
            while course.asked < proposals and len(course.open) < under_way(self._executor):
                self._take_up(course, course.ask(), submitted)
            if not submitted:
                return
            for evaluation_id in self._over(len(submitted)):
                if evaluation_id not in submitted:  # an executor may still have what an interrupted run submitted
                    continue
                if course.tell(evaluation_id):
                    submitted.remove(evaluation_id)
                    evaluated(evaluation_id)
                else:
                    self._executor.submit([evaluation_id])

    def _take_up(self, course: Course, candidate: CandidateRecord, submitted: set[str]) -> None:
        """Has a candidate evaluated, unless it is under way for an earlier ask; one that has been is told at once."""
        evaluation = candidate.evaluations["search"]
        if evaluation.id in submitted:
            return
        if evaluation.state in ("queued", "running") or not course.tell(evaluation.id):
            submitted.add(evaluation.id)
            self._executor.submit([evaluation.id])

    def _over(self, waiting: int) -> list[str]:
        over = self._executor.wait()
        if not over:
            raise PluginError(
                f"the executor {type(self._executor).__name__} gave nothing back although {waiting} evaluations were "
                "submitted; resume the study, perhaps with another executor"
            )
        return over


def under_way(executor: Executor) -> int:
    """How many proposals to have under way: a few more than can be evaluated, so that no worker waits for the next."""
    return max(executor.slots, 1) + executor.ahead
