"""One run of a study by its leader: what asks, scores and selects, over one executor."""

from __future__ import annotations

from functools import cached_property

from ..core.contracts import Executor
from ..core.study_spec import StudySpec
from ..fitness.evaluator import Evaluator
from ..storage import Store
from .estimated_scoring import EstimatedScoring
from .eval_keys import EvaluationKeys
from .full_scoring import FullScoring
from .loop import SearchLoop
from .scoring import Scoring
from .screened_scoring import ScreenedScoring
from .selection import Selection
from .steady_loop import SteadyLoop


class Run:
    """Made anew for each run: the database is the only state, and what is here is brought up to date from it.

    Args:
        store: the leader's (`Store.led`).
        keys: of evaluations by this executor.
    """

    def __init__(
        self,
        spec: StudySpec,
        study_id: str,
        store: Store,
        evaluator: Evaluator,
        executor: Executor,
        keys: EvaluationKeys,
    ) -> None:
        self._spec = spec
        self._study_id = study_id
        self._store = store
        self._evaluator = evaluator
        self._executor = executor
        self._keys = keys

    @cached_property
    def loop(self) -> SearchLoop | SteadyLoop:
        """Asks and tells the optimizer: in turns, or as results arrive."""
        if self._spec.steady_state:
            return SteadyLoop(self._spec, self._study_id, self._store, self._full_scoring, self._executor)
        return SearchLoop(self._spec, self._study_id, self._store, self._scoring)

    @cached_property
    def estimated_scoring(self) -> EstimatedScoring:
        """Scores from few items."""
        return EstimatedScoring(self._spec, self._study_id, self._store, self._executor, self._keys, self._evaluator)

    @cached_property
    def selection(self) -> Selection:
        """Picks the winner, and tests it."""
        return Selection(self._spec, self._study_id, self._store, self._executor, self._keys, self._evaluator)

    @property
    def _scoring(self) -> Scoring:
        if self._spec.fitness is not None:
            return self.estimated_scoring
        return self._full_scoring if self._spec.screen is None else self._screened_scoring

    @cached_property
    def _screened_scoring(self) -> ScreenedScoring:
        return ScreenedScoring(self._spec, self._study_id, self._store, self._executor, self._keys, self._evaluator)

    @cached_property
    def _full_scoring(self) -> FullScoring:
        return FullScoring(self._spec, self._store, self._executor, self._keys)
