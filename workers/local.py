"""The local executor: evaluates in this process, on one device, several candidates together where they allow it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn

from ..core.contracts import Executor
from ..core.errors import ConfigurationError, StorageError
from ..core.recipe import Recipe
from ..fitness.evaluator import Evaluator
from ..storage import EvaluationRecord, Heartbeat, Store, this_process
from .environment import environment
from .evaluating import TOGETHER, Company, evaluate, evaluate_together
from .known import known_scores
from .outcome import Failure, Outcome
from .recording import record_outcome

LEASE_SECONDS = 60.0


class LocalExecutor(Executor):
    """Claims each evaluation in the database, evaluates it here, and records what came of it in one transaction.

    A candidate that fails is recorded with its reason; what concerns all candidates (a checkpoint gone, a database
    that refuses) is raised. An interruption hands the evaluation back, unfinished.

    Which evaluations are computed together depends on nothing but the ids given: those that are over already are
    computed again in company if one of their group is not, because rounding may depend on the company, and a search
    that was interrupted must go on as if it had not been.
    """

    def __init__(self, store: Store, evaluator: Evaluator, **options: Any) -> None:
        if options:
            raise ConfigurationError(
                f"the executor `local` has no option {next(iter(options))!r}; it works here, alone"
            )
        self._store = store
        self._evaluator = evaluator
        self._owner = this_process()
        self._groups: deque[deque[str]] = deque()
        self._group: tuple[str, ...] = ()
        self._company: Company | None = None

    @property
    def ahead(self) -> int:
        """None: nobody waits while the next candidate is asked for."""
        return 0

    def submit(self, evaluation_ids: Sequence[str]) -> None:
        """Puts them in line, in groups; see the contract."""
        for first in range(0, len(evaluation_ids), TOGETHER):
            self._groups.append(deque(evaluation_ids[first : first + TOGETHER]))

    def wait(self) -> list[str]:
        """Evaluates the next one; see the contract."""
        if not self._groups:
            return []
        waiting = self._groups[0]
        if not self._group:
            self._group, self._company = tuple(waiting), None
        record = self._store.queue.get(waiting[0])
        if record.state in ("queued", "running"):
            try:
                self._run(record)
            except BaseException:
                self._groups.clear()
                self._group = ()
                raise
        waiting.popleft()
        if not waiting:
            self._groups.popleft()
            self._group = ()
        return [record.id]

    def recover(self, study_id: str) -> None:
        """Takes back what a former process of this study held; it does not count as an attempt."""
        self._groups.clear()
        self._group = ()
        self._store.queue.reap(study_id, counted=False)

    def _run(self, record: EvaluationRecord) -> None:
        try:
            attempt = self._store.queue.claim(record.id, self._owner, LEASE_SECONDS)
            if attempt is not None:
                with Heartbeat(lambda: self._store.queue.beat(record.id, attempt, LEASE_SECONDS), LEASE_SECONDS):
                    found = self._evaluate(record)
                record_outcome(self._store, record.id, attempt, found, self._environment_id)
                return
        except BaseException:
            self._hand_back(record.id)
            raise
        self._explain(record)

    @cached_property
    def _environment_id(self) -> str:
        return self._store.environments.record(environment(self._evaluator.spec, str(self._evaluator.device)))

    def _hand_back(self, evaluation_id: str) -> None:
        """Asks the database what is held: an interruption may have come before the number of the attempt was known."""
        held = self._store.queue.get(evaluation_id)
        if held.state == "running" and held.lease_owner == self._owner:
            self._store.queue.release(held.id, held.attempt)

    def _evaluate(self, record: EvaluationRecord) -> Outcome | Failure:
        recipe = self._recipe(record)
        scores = known_scores(self._store, record)
        company = {} if scores is not None else self._computed_together(record)
        mine = company.get(self._group.index(record.id))
        return evaluate(self._evaluator, recipe, record.stage, record.items, scores, mine)

    def _computed_together(self, record: EvaluationRecord) -> Company:
        if self._company is None:
            self._company = {}
            records = self._store.queue.several(self._group)
            if all((other.items, other.stage) == (record.items, record.stage) for other in records):
                recipes = self._store.candidates.recipes([other.candidate_id for other in records])
                company = [Recipe.from_dict(recipes[other.candidate_id]) for other in records]
                self._company = evaluate_together(self._evaluator, company, record.stage, record.items)
        return self._company

    def _recipe(self, record: EvaluationRecord) -> Recipe:
        return Recipe.from_dict(self._store.candidates.recipes([record.candidate_id])[record.candidate_id])

    def _explain(self, record: EvaluationRecord) -> NoReturn:
        holder = self._store.queue.get(record.id).lease_owner
        raise StorageError(
            f"another process ({holder or 'unknown'}) is evaluating this study; let it finish, or end it and resume"
        )
