"""A worker: claims evaluations for one device, has a process of its own compute them, and records what came of them.

It is the supervisor: it holds the leases and computes nothing, so that no kernel that hangs or crashes takes them down.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.errors import StorageError
from ..storage import Claim, Store, Waiting, WorkerRecord, this_process
from . import logs
from .canary_watch import CanaryWatch
from .choosing import Choosing
from .evaluation_process import ChildLostError, EvaluationProcess
from .holding import Holding
from .metrics import WorkerMetrics
from .outcome import Outcome, from_json
from .requests import describe, request_for
from .schedulers.by_name import make
from .settings import WorkerSettings
from .telemetry import span

REFUSED = "worker.refused"
"""The type of the event that tells why a worker cannot evaluate a study."""

_IDLE_NOTE_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Worker:
    """Works for the studies of one database on one device.

    Args:
        process: computes; default: one that is started when there is something to compute.

    Attributes:
        record: as registered when it came up.
        metrics: what it counts.
    """

    def __init__(
        self,
        store: Store,
        settings: WorkerSettings,
        metrics: WorkerMetrics | None = None,
        process: EvaluationProcess | None = None,
    ) -> None:
        from .. import __version__

        self._store = store
        self._settings = settings
        self._owner = this_process()
        self.record: WorkerRecord = store.workers.register(
            self._owner,
            platform.node(),
            os.getpid(),
            __version__,
            settings.kind,
            settings.queues,
            settings.described,
        )
        self.metrics = metrics or WorkerMetrics(self.record.id, settings.device, __version__)
        self._choosing = Choosing(store, make(settings.scheduler, settings.scheduler_options), self.record)
        self._process = process or EvaluationProcess(
            settings.device, settings.memory_bytes, settings.host_limit_bytes, settings.cores
        )
        self._canary = CanaryWatch(store, self.record.id, settings.canary_every)
        self._refused: dict[str, str] = {}
        self._environments: dict[str, str] = {}
        self._draining = threading.Event()
        self._hand_back_at: float | None = None
        self._studies: dict[str, Mapping[str, Any]] = {}
        self._drifted = False
        self._taken: Waiting | None = None
        self._noted: str | None = None
        self._noted_at = time.monotonic()
        self._done = self._failed = 0

    def work_one(self, evaluation_id: str | None = None) -> bool:
        """Claims what suits it best of what waits, evaluates it, and records what came of it.

        Args:
            evaluation_id: what it was woken for; which evaluation it takes is decided by what waits, not by this.

        Returns:
            False if there was nothing to be had.

        Raises:
            StorageError: the database cannot be reached; try again later.
        """
        if self._draining.is_set() or self._drifted:
            return False
        self._choosing.look()
        claims = self._store.queue.take(
            self._owner,
            self._settings.queues,
            self._choose,
            self._settings.lease_seconds,
            besides=self._refused,
            studies=self._settings.studies,
        )
        if not claims:
            self._note(None)
            return False
        self._work(claims)
        return True

    def drain(self, grace_seconds: float) -> None:
        """Takes nothing more; what runs is finished, or handed back after the grace. From any thread; does not wait."""
        if self._draining.is_set():
            return
        self._hand_back_at = time.monotonic() + grace_seconds
        self._draining.set()
        try:
            self._store.workers.move(self.record.id, "draining", "asked to end")
        except StorageError as error:
            _log.warning("%s", error)

    def stop(self, reason: str = "asked to end") -> None:
        """Ends the evaluating process, and notes that this worker is gone."""
        self._process.end()
        try:
            self._note(None)
            self._store.workers.move(self.record.id, "gone", reason)
        except StorageError as error:
            _log.warning("%s", error)

    def _choose(self, waiting: Sequence[Waiting]) -> Waiting | None:
        self._taken = self._choosing.choose(waiting)
        return self._taken

    def _work(self, claims: Sequence[Claim]) -> None:
        assert self._taken is not None
        first = claims[0].evaluation
        ids = {"candidate": self._taken.candidate, "evaluation": first.id, "attempt": claims[0].attempt}
        self.metrics.running(len(claims))
        holding = Holding(self._store, claims, self._settings.lease_seconds, self.metrics, self._alive)
        with logs.context(**ids), span("evaluate", **ids), holding:
            try:
                study = self._study(self._taken.study_id)
                self._note(first.id)
                with logs.context(study=study["name"]):
                    self._evaluate(study, holding)
            except ChildLostError as lost:
                if lost.ending.outcome != "released":
                    _log.warning("the evaluating process: %s %s", lost.ending.outcome, lost.ending.exit_signal or "")
                holding.lose(lost.ending)
            except BaseException:
                holding.release()
                raise
        self.metrics.running(0)
        self._choosing.evaluated(self._taken)
        self._done += holding.done
        self._failed += holding.failed

    def _study(self, study_id: str) -> Mapping[str, Any]:
        """What the evaluating process must know of it, read once: what is evaluated does not change."""
        if study_id not in self._studies:
            study = self._store.studies.with_id(study_id)
            self._studies[study_id] = describe(self._store, self._settings, study)
        return self._studies[study_id]

    def _note(self, evaluation_id: str | None) -> None:
        """Tells the others what this worker does; while it does nothing, now and then that it is there."""
        now = time.monotonic()
        if evaluation_id is None and self._noted is None and now - self._noted_at < _IDLE_NOTE_SECONDS:
            return
        self._store.workers.evaluates(self.record.id, evaluation_id, self._done, self._failed)
        self._noted, self._noted_at = evaluation_id, now
        self._done = self._failed = 0

    def _evaluate(self, study: Mapping[str, Any], holding: Holding) -> None:
        if self._canary.is_due(study["id"]):
            self._hear_canary(study, holding)
        if not holding.claims:
            return
        request = request_for(self._store, study, holding.claims)
        for reply in self._ask(study, request.content, holding):
            if "progress" in reply:
                holding.progress = reply["progress"]
            elif "outcome" in reply:
                found = from_json(reply["outcome"])
                claim = request.wanted[reply["place"]]
                if isinstance(found, Outcome) and found.peak_bytes is not None:
                    self.metrics.memory(found.peak_bytes, self._settings.memory_bytes)
                holding.record(claim, found, self._environments.get(study["id"]), self._process.log_tail)
                self._canary.evaluated(study["id"])

    def _hear_canary(self, study: Mapping[str, Any], holding: Holding) -> None:
        """Asks the canary before anything is evaluated; if the numbers have drifted, what is held is handed back."""
        request = {"do": "canary", "study": study}
        for reply in self._ask(study, request, holding):
            if "canary" in reply and not self._canary.heard(study["id"], reply["canary"], reply["dtype"]):
                _log.error(
                    "the canary of %s disagrees with other workers': this worker takes nothing more", study["name"]
                )
                self._drifted = True
                holding.release()

    def _ask(self, study: Mapping[str, Any], request: Mapping[str, Any], holding: Holding) -> Iterator[dict[str, Any]]:
        """The replies to a request, but for what is the same for all requests."""
        for reply in self._process.ask(request, lambda: self._may_go_on(holding), self._settings.limit_seconds):
            if "loaded" in reply:
                self._environments[study["id"]] = self._store.environments.record(reply["loaded"])
                self.metrics.loaded(reply["seconds"])
            elif "refused" in reply:
                self._refuse(study, reply["reason"])
                holding.release()
            else:
                yield reply

    def _may_go_on(self, holding: Holding) -> bool:
        overdue = self._hand_back_at is not None and time.monotonic() > self._hand_back_at
        return holding.held and not overdue

    def _alive(self) -> None:
        self._store.workers.seen(self.record.id)

    def _refuse(self, study: Mapping[str, Any], reason: str) -> None:
        _log.warning("this worker cannot evaluate the study %s: %s", study["name"], reason)
        self._refused[study["id"]] = reason
        self._store.events.note(study["id"], REFUSED, self.record.id, {"reason": reason, "worker": self._owner})
