"""Ends a worker that is connected to the broker but no longer consumes; something outside starts another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..core.errors import BrokerError

WATCHDOG_SECONDS = 90.0

_log = logging.getLogger(__name__)


class Watchdog:
    """Looks whether messages wait in the worker's queues while it receives none.

    Celery workers have been seen to reconnect and never consume again (celery #8030, #8091, #10205), which nothing
    inside them notices. Busy workers, empty queues and a broker that is down are no reason to end.

    Args:
        waiting: how many messages wait in the worker's queues; raises BrokerError where that cannot be known.
        received: how many messages the worker has received so far.
        busy: whether it is working on a message, or about to end.
        leave: ends the process; gets the reason.
        limit_seconds: how long messages may wait for an idle worker.
        clock: seconds; it never goes backwards.
    """

    def __init__(
        self,
        waiting: Callable[[], int],
        received: Callable[[], int],
        busy: Callable[[], bool],
        leave: Callable[[str], None],
        limit_seconds: float = WATCHDOG_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waiting = waiting
        self._received = received
        self._busy = busy
        self._leave = leave
        self._limit = limit_seconds
        self._clock = clock
        self._ignored_since: float | None = None
        self._last_received = -1
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begins to look, a few times within the limit."""
        self._thread.start()

    def end(self) -> None:
        """Looks no more."""
        self._ended.set()

    def look(self) -> None:
        """Looks once."""
        received = self._received()
        if self._busy() or received != self._last_received or not self._messages():
            self._ignored_since, self._last_received = None, received
            return
        now = self._clock()
        if self._ignored_since is None:
            self._ignored_since = now
        elif now - self._ignored_since >= self._limit:
            self._leave(
                f"messages have waited for {now - self._ignored_since:.0f} seconds in the queues of this worker, which "
                "was idle and received none: it is connected to the broker but no longer consumes"
            )

    def _messages(self) -> int:
        try:
            return self._waiting()
        except BrokerError:
            return 0

    def _run(self) -> None:
        while not self._ended.wait(self._limit / 6):
            try:
                self.look()
            except Exception:  # who watches must not end of a fault of his own
                _log.exception("the watchdog could not look")
