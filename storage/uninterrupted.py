"""Requests to end (Ctrl-C, SIGTERM, a terminal that closes) that come in a transaction wait until it is over."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], Any]
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_IMPATIENT = 3


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Postpones what the handlers of signals would raise until the block has ended.

    An exception may come between any two steps, also between SQLite's BEGIN and whoever would roll back, or at the very
    start of the rolling back; its traceback would then keep the connection, and with it the lock, for the process that
    wants to note that it was interrupted. No `try` is quick enough for that, so the handlers have to wait. A database
    may hang, so who asks three times is not made to wait.
    """
    if threading.current_thread() is not threading.main_thread():  # where no signal is handled
        yield
        return
    waiting = _Waiting(_handlers())
    try:
        waiting.begin()
        yield
    finally:
        waiting.end()


def _handlers() -> dict[int, Handler]:
    """The handlers in Python that may raise; those that wait already, for an outer block, are left alone."""
    found: dict[int, Handler] = {}
    for name in _NAMES:
        number = getattr(signal, name, None)
        handler = None if number is None else signal.getsignal(number)
        if number is None or not callable(handler):
            continue
        if not isinstance(handler, _Waiting):
            found[number] = handler
        elif not handler.open:
            found[number] = handler.handlers[number]
    return found


class _Waiting:
    """A handler that remembers what is asked while it is open, and passes on what is asked before and after.

    That it passes on makes it harmless wherever an exception leaves it installed.
    """

    def __init__(self, handlers: dict[int, Handler]) -> None:
        self.open = False
        self.handlers = handlers
        self._asked: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.open:
            self._asked.append(number)
            if len(self._asked) < _IMPATIENT:
                return
            self._asked.clear()
        self.handlers[number](number, frame)

    def begin(self) -> None:
        self.open = True
        for number in self.handlers:
            signal.signal(number, self)

    def end(self) -> None:
        self.open = False
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        for number in self._asked[:1]:
            self.handlers[number](number, None)
