"""One thread that makes a worker work: when it is woken, and now and then by itself, for a message may get lost."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass, field
from typing import Protocol

_log = logging.getLogger(__name__)

LOOK_SECONDS = 20.0
"""After how long an idle worker looks into the database itself. Well below what the watchdog waits."""


class Workable(Protocol):
    """What is needed of `heterosis.workers.worker.Worker`."""

    def work_one(self, evaluation_id: str | None = None) -> bool:
        """Claims, evaluates and records one evaluation, that one if it is a good choice; False if there was none."""

    def drain(self, grace_seconds: float) -> None:
        """Nothing more is taken; what runs is finished, or handed back when the grace is over. From any thread."""

    def stop(self) -> None:
        """Ends what was started, and notes that the worker is gone."""


@dataclass
class _WakeUp:
    evaluation_id: str
    over: threading.Event = field(default_factory=threading.Event)


class WakeUps:
    """Makes `worker` work in one thread of its own, from `start` to `end`.

    Once woken it works until the database has nothing left for it: what to do, and in which order, is decided there.
    So a message that is lost, comes twice or wakes another worker than it might have costs nothing.

    Attributes:
        received: how many messages have woken it.
        busy: whether a message keeps it busy, or it has been told to end.
    """

    def __init__(self, worker: Workable, look_seconds: float = LOOK_SECONDS) -> None:
        self._worker = worker
        self._look_seconds = look_seconds
        self._waiting: queue.SimpleQueue[_WakeUp | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
        self.received = 0
        self.busy = False

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def wake(self, evaluation_id: str) -> None:
        """Wakes the worker, and returns when it has run out of work or is to end."""
        self.received += 1
        self.busy = True
        woken = _WakeUp(evaluation_id)
        self._waiting.put(woken)
        while not woken.over.wait(0.2) and not self._ended.is_set():
            pass
        self.busy = self._ended.is_set()

    def end(self) -> None:
        """Nothing more is begun; who waits in `wake` goes on. Does not wait for what runs."""
        self.busy = True
        self._ended.set()
        self._waiting.put(None)

    def join(self, timeout_seconds: float) -> bool:
        """Waits for what runs; whether it is over."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                woken = self._waiting.get(timeout=self._look_seconds)
            except queue.Empty:
                self._work(None)
                continue
            if woken is not None:
                self._work(woken.evaluation_id)
                woken.over.set()

    def _work(self, evaluation_id: str | None) -> None:
        try:
            while not self._ended.is_set() and self._worker.work_one(evaluation_id):
                evaluation_id = None
        except Exception:  # a database that is down, say: whoever ends here would never be woken again
            _log.exception("the worker could not work; it tries again in %g seconds at the latest", self._look_seconds)
            self._ended.wait(min(1.0, self._look_seconds))
