"""The clock of a database server, as seen from here without asking it each time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select

_ASK = select(func.clock_timestamp())
ASK_AGAIN_SECONDS = 10.0


def steady_seconds() -> float:
    """Seconds that pass evenly whatever becomes of this machine's clock; while it sleeps too, where that is known."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class ServerClock:
    """The server's time: as it was when it was asked last, and what has passed here since.

    Two machines count seconds alike to a millionth, so within ten seconds it is the server's to far less than a lease.
    Asking each time would cost every transaction a round trip.

    Args:
        seconds: that pass evenly.
    """

    def __init__(self, seconds: Callable[[], float] = steady_seconds) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asked: tuple[float, datetime] | None = None

    def now(self, connection: Connection) -> datetime:
        """In UTC."""
        here = self._seconds()
        with self._lock:
            asked = self._asked
        if asked is None or not 0.0 <= here - asked[0] < ASK_AGAIN_SECONDS:
            moment: datetime = connection.execute(_ASK).scalar_one()
            asked = (here + (self._seconds() - here) / 2, moment.astimezone(UTC))
            with self._lock:
                self._asked = asked
        return asked[1] + timedelta(seconds=self._seconds() - asked[0])
