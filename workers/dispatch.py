"""What executors share whose workers are other processes: they announce, wait, take back, and announce again.

The database is the queue of record: workers claim there, and whatever is announced is only to wake them.
"""

from __future__ import annotations

import logging
import math
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from ..core.contracts import Executor
from ..core.errors import BrokerError, ConfigurationError, StorageError
from ..fitness.evaluator import Evaluator
from ..storage import EvaluationRecord, Store, WorkerRecord
from ..storage.leads import LEAD_SECONDS
from ..storage.queue import LEASE_SECONDS
from .evaluating import TOGETHER, goes_together
from .memory import foreseen_bytes
from .memory_classes import class_of
from .worker import REFUSED

PUBLISH_AGAIN_LEASES = 2.0
_LOOKS = (0.002, 0.1)
"""Seconds between looks at the database, at first and at last."""
_TEND_SECONDS = 1.0
_ALONE_SECONDS = 30.0
_log = logging.getLogger(__name__)


class FleetExecutor(Executor):
    """Has workers evaluate, which come and go; a study goes on as long as any is there, and waits as long as none is.

    Args:
        priority: of two studies on one fleet, that of the higher number comes first.
        lease_seconds: of the workers' claims.
    """

    kind: ClassVar[str]

    def __init__(
        self, store: Store, evaluator: Evaluator, *, priority: int = 0, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._store = store
        self._evaluator = evaluator
        self._priority = priority
        self._lease_seconds = lease_seconds
        self._need_bytes: int | None = None
        self._study_id: str | None = None
        self._outstanding: dict[str, None] = {}
        self._tended = 0.0
        self._alone_since: float | None = None
        self._look = _LOOKS[0]

    @abstractmethod
    def _publish(self, records: Sequence[EvaluationRecord]) -> None:
        """Wakes workers for these.

        Raises:
            BrokerError: they cannot be reached now; it is tried again later.
        """

    @abstractmethod
    def _tend(self) -> None:
        """Called about once a second while the executor waits: looks after workers that are its own."""

    @property
    def slots(self) -> int:
        """As many as there are workers; at least one, which may come yet."""
        return max(sum(worker.state == "up" for worker in self._store.workers.live()), 1)

    def submit(self, evaluation_ids: Sequence[str]) -> None:
        """Gives them to workers: each alone, or in groups where candidates can be computed together."""
        for first in range(0, len(evaluation_ids), TOGETHER):
            self._assign(evaluation_ids[first : first + TOGETHER])
        self._outstanding.update(dict.fromkeys(evaluation_ids))
        if self._study_id is None and evaluation_ids:
            self._study_id = self._store.queue.study_of(evaluation_ids[0])
        self._announce()

    def run(self, evaluation_ids: Sequence[str]) -> Iterator[str]:
        """Evaluates all of these; see the contract. A result that is taken back meanwhile is waited for again.

        (Those of a worker whose numbers turn out to have drifted are, as long as nothing is built on them.)
        """
        yielded: set[str] = set()
        left = list(evaluation_ids)
        while left:
            for evaluation_id in super().run(left):
                if evaluation_id not in yielded:
                    yielded.add(evaluation_id)
                    yield evaluation_id
            states = self._store.queue.states(left)
            left = [id_ for id_ in left if states[id_] in ("queued", "running")]

    def wait(self) -> list[str]:
        """Those that are over; see the contract. Meanwhile it takes back what dead workers held.

        A database that is away is waited for, as long as nobody else may lead the study meanwhile.
        """
        answered = time.monotonic()
        while self._outstanding:
            try:
                over = self._over()
                answered = time.monotonic()
            except StorageError as error:
                if time.monotonic() - answered > LEAD_SECONDS / 2:
                    raise
                _log.warning("%s; tried again", error)
                time.sleep(_TEND_SECONDS)
                continue
            if over:
                return over
            time.sleep(self._look)
            self._look = min(self._look * 1.5, _LOOKS[1])
        return []

    def _over(self) -> list[str]:
        """Those that are over now; whether or not there are any, what there is to see to is seen to."""
        if time.monotonic() - self._tended > _TEND_SECONDS:
            self._tended = time.monotonic()
            self._see_to_workers()
        states = self._store.queue.states(list(self._outstanding))
        over = [id_ for id_, state in states.items() if state not in ("queued", "running")]
        if over:
            self._announce()
            for evaluation_id in over:
                del self._outstanding[evaluation_id]
            self._look = _LOOKS[0]
        return over

    def _see_to_workers(self) -> None:
        self._store.queue.reap(self._study_id)
        self._tend()
        self._announce()
        live = [worker for worker in self._store.workers.live() if worker.state == "up"]
        if live:
            self._alone_since = None
            self._check_refusals(live)
        elif self._alone_since is None:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > _ALONE_SECONDS:
            self._alone_since = math.inf  # said once
            _log.warning("no worker is up, so nothing is evaluated; start one with `heterosis worker`")

    def recover(self, study_id: str) -> None:
        """Takes back what dead workers held."""
        self._outstanding.clear()
        self._store.queue.reap(study_id)

    def _assign(self, group: Sequence[str]) -> None:
        if self._need_bytes is None:
            self._need_bytes = foreseen_bytes(self._evaluator.spec)
        company = group[0] if self._gain_by_company(group) else None
        self._store.queue.assign(group, class_of(self._need_bytes), self._need_bytes, self._priority, company=company)

    def _gain_by_company(self, group: Sequence[str]) -> bool:
        """Whether they can be computed together, by one worker; else each may have its own."""
        if len(group) < 2 or not self._evaluator.computes_together:
            return False
        first, *others = self._store.queue.several(group)
        return goes_together(first.stage) and all(
            (one.stage, one.items) == (first.stage, first.items) for one in others
        )

    def _announce(self) -> None:
        """Publishes what workers were not told of: not more than they can begin soon, the rest as results come."""
        again = PUBLISH_AGAIN_LEASES * self._lease_seconds
        untold = self._store.queue.unpublished(list(self._outstanding), again)
        if not untold:
            return
        window = max(2 * self.slots - self._store.queue.announced(list(self._outstanding), again), 0)
        chosen = untold[:window]
        if not chosen:
            return
        try:
            self._publish(chosen)
        except BrokerError as error:
            _log.warning("%s", error)
            return
        self._store.queue.published([record.id for record in chosen])

    def _check_refusals(self, live: Sequence[WorkerRecord]) -> None:
        """Where every worker there is has refused the study, waiting is no use."""
        if self._study_id is None:
            return
        noted = self._store.events.of_type(self._study_id, REFUSED)
        refused = {event.subject_id: event.payload["reason"] for event in noted}
        if all(worker.id in refused for worker in live):
            raise ConfigurationError(f"no worker can evaluate this study. {live[0].host}: {refused[live[0].id]}")
