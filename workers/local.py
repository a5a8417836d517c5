"""The local executor: evaluates in this process, on one device, several candidates together where they allow it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ..core.contracts import Executor
from ..core.errors import ConfigurationError, StorageError
from ..fitness.evaluator import Evaluator
from ..storage import Heartbeat, Store, this_process
from .environment import environment
from .evaluating import TOGETHER
from .group import Group
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
        self._waiting: deque[deque[str]] = deque()
        self._group: Group | None = None

    @property
    def ahead(self) -> int:
        """None: nobody waits while the next candidate is asked for."""
        return 0

    def submit(self, evaluation_ids: Sequence[str]) -> None:
        """Puts them in line, in groups; see the contract."""
        for first in range(0, len(evaluation_ids), TOGETHER):
            self._waiting.append(deque(evaluation_ids[first : first + TOGETHER]))

    def wait(self) -> list[str]:
        """Evaluates the next one; see the contract."""
        if not self._waiting:
            return []
        ids = self._waiting[0]
        try:
            if self._group is None:
                self._group = Group(self._store, self._evaluator, tuple(ids))
            self._run(self._group, ids[0])
        except BaseException:
            self._forget()
            raise
        over = ids.popleft()
        if not ids:
            self._waiting.popleft()
            self._group = None
        return [over]

    def recover(self, study_id: str) -> None:
        """Takes back what a former process of this study held; it does not count as an attempt."""
        self._forget()
        self._store.queue.reap(study_id, counted=False)

    def _forget(self) -> None:
        self._waiting.clear()
        self._group = None

    def _run(self, group: Group, evaluation_id: str) -> None:
        record = group.records[evaluation_id]
        if record.state not in ("queued", "running"):
            return
        try:
            attempt = self._store.queue.claim(record.id, self._owner, LEASE_SECONDS)
            if attempt is not None:
                with Heartbeat(lambda: self._store.queue.beat(record.id, attempt, LEASE_SECONDS), LEASE_SECONDS):
                    found = group.evaluate(record)
                record_outcome(self._store, record.id, attempt, found, self._environment_id)
                return
        except BaseException:
            self._hand_back(record.id)
            raise
        self._check_over(record.id)

    @cached_property
    def _environment_id(self) -> str:
        return self._store.environments.record(environment(self._evaluator.spec, str(self._evaluator.device)))

    def _hand_back(self, evaluation_id: str) -> None:
        """Asks the database what is held: an interruption may have come before the number of the attempt was known."""
        held = self._store.queue.get(evaluation_id)
        if held.state == "running" and held.lease_owner == self._owner:
            self._store.queue.release(held.id, held.attempt)

    def _check_over(self, evaluation_id: str) -> None:
        """It may have been finished since it was read; if it is not, somebody else has it."""
        record = self._store.queue.get(evaluation_id)
        if record.state in ("queued", "running"):
            raise StorageError(
                f"another process ({record.lease_owner or 'unknown'}) is evaluating this study; let it finish, or end "
                "it and resume"
            )
