"""Evaluations that a worker holds: kept by heartbeats while they are computed, and ended in the database one by one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from ..core.errors import StorageError
from ..storage import Claim, Ending, Heartbeat, Store
from .metrics import WorkerMetrics
from .outcome import Failure, Outcome
from .recording import record_outcome

_RETRY_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Holding:
    """Claims that were taken together. Within the block a thread of its own extends their leases.

    While the database is away, whatever is to be written is tried again for as long as the leases last; after that
    another worker may have taken over, and nothing is written.

    Args:
        alive: called with each beat, to note that the worker lives.

    Attributes:
        progress: the share that is done, in [0, 1]; told with the next beat.
        done, failed: how many have ended so.
    """

    def __init__(
        self,
        store: Store,
        claims: Sequence[Claim],
        lease_seconds: float,
        metrics: WorkerMetrics,
        alive: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._claims = {claim.evaluation.id: claim for claim in claims}
        self._lease_seconds = lease_seconds
        self._metrics = metrics
        self._alive = alive
        self._lock = threading.Lock()
        self._heart = Heartbeat(self._beat, lease_seconds)
        self.progress: float | None = None
        self.done = self.failed = 0

    def __enter__(self) -> Holding:
        self._heart.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heart.__exit__(kind, error, trace)

    @property
    def held(self) -> bool:
        """Whether the leases are this worker's still: if not, there is no use in computing further."""
        return self._heart.held

    @property
    def claims(self) -> list[Claim]:
        """Those that have not ended."""
        with self._lock:
            return list(self._claims.values())

    def record(
        self, claim: Claim, found: Outcome | Failure, environment_id: str | None = None, log_tail: str | None = None
    ) -> None:
        """Writes what came of one of them; out of memory, it is another worker's turn to try."""
        if isinstance(found, Failure) and found.kind == "memory":
            ending = Ending("memory", log_tail=f"{found.reason}\n{log_tail or ''}")
            self._end(claim, "memory", lambda: self._store.queue.lose(claim.evaluation.id, claim.attempt, ending))
        elif isinstance(found, Failure):
            self._end(claim, "failed", lambda: self._write(claim, found, environment_id, log_tail))
        else:
            items = sum(len(one.scores) for one in found.responses)
            self._end(claim, "succeeded", lambda: self._write(claim, found, environment_id), found.seconds, items)

    def lose(self, ending: Ending) -> None:
        """Notes how all that have not ended came to nothing; what was given up by choice does not count."""
        for claim in self.claims:
            self._end(claim, ending.outcome, lambda claim=claim: self._lose(claim, ending))  # type: ignore[misc]

    def release(self) -> None:
        """Hands back all that have not ended."""
        self.lose(Ending("released"))

    def _write(
        self, claim: Claim, found: Outcome | Failure, environment_id: str | None, log_tail: str | None = None
    ) -> bool:
        return record_outcome(self._store, claim.evaluation.id, claim.attempt, found, environment_id, log_tail)

    def _lose(self, claim: Claim, ending: Ending) -> bool:
        queue = self._store.queue
        if ending.outcome != "released":
            return queue.lose(claim.evaluation.id, claim.attempt, ending)
        if queue.get(claim.evaluation.id).cancel_requested_at is not None:
            return queue.lose(claim.evaluation.id, claim.attempt, Ending("cancelled"))
        return queue.release(claim.evaluation.id, claim.attempt)

    def _end(
        self,
        claim: Claim,
        word: str,
        write: Callable[[], bool],
        seconds: dict[str, float] | object = None,
        items: int = 0,
    ) -> None:
        written = self._persist(write)
        with self._lock:
            self._claims.pop(claim.evaluation.id, None)
            self.done += written and word == "succeeded"
            self.failed += written and word == "failed"
        self._metrics.evaluated(word if written else "fenced", seconds, items)  # type: ignore[arg-type]
        if not written:
            _log.warning("another has taken over %s; what came of it here is not recorded", claim.evaluation.id)

    def _persist(self, write: Callable[[], bool]) -> bool:
        while True:
            try:
                return write()
            except StorageError as error:
                if not self.held:
                    return False
                _log.warning("%s; tried again while the lease lasts", error)
                time.sleep(_RETRY_SECONDS)

    def _beat(self) -> bool:
        """False as soon as one of them is another's, for they are computed together."""
        held = True
        try:
            for claim in self.claims:
                kept = self._store.queue.beat(claim.evaluation.id, claim.attempt, self._lease_seconds, self.progress)
                with self._lock:
                    held = held and (kept or claim.evaluation.id not in self._claims)  # it may have ended meanwhile
            self._alive()
        except StorageError:
            self._metrics.beat("failed")
            raise
        self._metrics.beat("kept" if held else "fenced")
        return held
