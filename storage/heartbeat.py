"""Heartbeats: leases are renewed from a thread of their own, never from the one that works."""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType

from ..core.errors import StorageError


class Heartbeat:
    """Calls `beat` every quarter of a lease while the block runs, and knows whether the lease is still held.

    A beat that fails (the database is away) is tried again until half of the lease is left; then the lease counts as
    lost, because by the time it ends nobody may be working on what another has taken over.

    Args:
        beat: extends the lease; False if it is another's.
        retry_seconds: between tries, while beats fail.

    Attributes:
        held: whether the lease is still this process's.
    """

    def __init__(self, beat: Callable[[], bool], lease_seconds: float, retry_seconds: float = 1.0) -> None:
        self._beat = beat
        self._lease_seconds = lease_seconds
        self._retry_seconds = min(retry_seconds, lease_seconds / 8)
        self._beaten = 0.0
        self._over = False
        self._beating = threading.Lock()
        self.held = True

    def __enter__(self) -> Heartbeat:
        self._beaten = time.monotonic()
        _heart().keep(self, self._beaten + self._lease_seconds / 4)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._beating:  # afterwards nothing is written about the lease
            self._over = True

    def due(self) -> float | None:
        """Beats; when the next beat is due (monotonic seconds), or None if there is none."""
        with self._beating:
            if self._over:
                return None
            asked = time.monotonic()
            try:
                self.held = self._beat()
            except StorageError:
                self.held = asked - self._beaten < self._lease_seconds / 2
                wait = self._retry_seconds
            else:
                self._beaten, wait = asked, self._lease_seconds / 4
            return time.monotonic() + wait if self.held else None


class _Heart:
    """One thread for all of a process's heartbeats: to start one for each evaluation would cost more than to record it.

    They are beats of one database; where it is away for one, it is away for all.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Heartbeat]] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="heartbeats", daemon=True).start()

    def keep(self, heartbeat: Heartbeat, at: float) -> None:
        with self._changed:
            first = self._due[0][0] if self._due else None
            heapq.heappush(self._due, (at, next(self._numbers), heartbeat))
            if first is None or at < first:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                heartbeat = heapq.heappop(self._due)[2]
            at = heartbeat.due()
            if at is not None:
                self.keep(heartbeat, at)


_starting = threading.Lock()
_started: list[_Heart] = []


def _heart() -> _Heart:
    """This process's: a process that was forked has no thread of its parent's."""
    with _starting:
        if not _started or _started[-1].pid != os.getpid():
            _started[:] = [_Heart()]
        return _started[-1]
