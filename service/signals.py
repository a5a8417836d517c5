"""Requests to end (Ctrl-C, SIGTERM, a terminal that closes) become exceptions, but never inside the store."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_STORE = f"{__package__.rpartition('.')[0]}.storage"
_LATER_SECONDS = 0.01
_IMPATIENT = 3


class Interrupted(KeyboardInterrupt):
    """The process was asked to end, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def orderly_end() -> Iterator[None]:
    """Raises Interrupted in the main thread when the process is asked to end.

    What the store is doing is finished first: an exception between SQLite's BEGIN and whoever would roll back would
    leave the database locked for the very process that wants to note that it was interrupted. Who asks three times is
    not made to wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and shells' `&` ask for
            before[number] = signal.signal(number, _Request())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Request:
    """Handles a signal; repeats it a moment later if it comes at a bad one."""

    def __init__(self) -> None:
        self._asked = 0
        self._repeated = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._asked += not self._repeated
        self._repeated = False
        if self._asked >= _IMPATIENT or not _in_store(frame):
            raise Interrupted(number)
        timer = threading.Timer(_LATER_SECONDS, self._repeat, [number])
        timer.daemon = True
        timer.start()

    def _repeat(self, number: int) -> None:
        self._repeated = True
        os.kill(os.getpid(), number)


def _in_store(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_STORE):
            return True
        frame = frame.f_back
    return False
