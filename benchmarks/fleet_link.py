"""A network link that transfers share: each gets an equal part, up to what a machine can take."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from .fleet_clock import Clock


class Link:
    """Processor sharing. All transfers under way progress alike, so each ends in the order of its bytes left.

    Args:
        bytes_per_second: of the link.
        most_per_second: of one transfer.
    """

    def __init__(self, clock: Clock, bytes_per_second: float, most_per_second: float) -> None:
        self._clock = clock
        self._capacity, self._most = bytes_per_second, most_per_second
        self._progress = 0.0  # bytes that a transfer has got which is under way since the start
        self._seen = 0.0
        self._ends: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._alarm = 0

    def fetch(self, size: float, then: Callable[[], None]) -> None:
        """Transfers so many bytes. One that nobody waits for any longer goes on: its sender does not know."""
        self._advance()
        heapq.heappush(self._ends, (self._progress + size, next(self._numbers), then))
        self._set_alarm()

    def _rate(self) -> float:
        return min(self._most, self._capacity / len(self._ends)) if self._ends else 0.0

    def _advance(self) -> None:
        self._progress += self._rate() * (self._clock.now - self._seen)
        self._seen = self._clock.now

    def _set_alarm(self) -> None:
        self._alarm += 1  # rates changed: earlier alarms no longer hold
        if self._ends:
            number = self._alarm
            left = max(0.0, self._ends[0][0] - self._progress)
            self._clock.after(left / self._rate(), lambda: self._ring(number))

    def _ring(self, number: int) -> None:
        if number == self._alarm:
            self._advance()
            end, _, then = heapq.heappop(self._ends)
            self._progress = max(self._progress, end)  # against rounding
            self._set_alarm()
            then()
