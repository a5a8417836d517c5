"""A heartbeat: renews a lease from a thread of its own, never from the one that works."""

from __future__ import annotations

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
        lost: called once, in this thread, when the lease is lost.
        retry_seconds: between tries, while beats fail.
    """

    def __init__(
        self,
        beat: Callable[[], bool],
        lease_seconds: float,
        lost: Callable[[], None] = lambda: None,
        retry_seconds: float = 1.0,
    ) -> None:
        self._beat = beat
        self._lease_seconds = lease_seconds
        self._lost = lost
        self._retry_seconds = min(retry_seconds, lease_seconds / 8)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self.held = True

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        beaten = time.monotonic()
        wait = self._lease_seconds / 4
        while not self._ended.wait(wait):
            asked = time.monotonic()
            try:
                self.held = self._beat()
            except StorageError:
                self.held = asked - beaten < self._lease_seconds / 2
                wait = self._retry_seconds
            else:
                beaten, wait = asked, self._lease_seconds / 4
            if not self.held:
                self._lost()
                return
