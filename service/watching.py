"""Looking again and again until Ctrl-C, which ends it quietly; a database that restarts does not end it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ..core.errors import StorageError
from .signals import Interrupted

SECONDS = 1.0
"""Between two looks."""

Seen = TypeVar("Seen")


def looks(look: Callable[[], Seen], seconds: float = SECONDS) -> Iterator[Seen | StorageError]:
    """What is seen, for ever, with a pause after each look; an error in its place where the database does not answer.

    Raises:
        StorageError: the first look failed, so there is something to mend.
    """
    yield look()
    while True:
        time.sleep(seconds)
        try:
            seen: Seen | StorageError = look()
        except StorageError as error:
            seen = error
        yield seen


@contextmanager
def quiet_end() -> Iterator[None]:
    """Ctrl-C is how one stops to watch, and no reason for a message; another signal is passed on."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        if isinstance(interruption, Interrupted) and interruption.number != signal.SIGINT:
            raise
