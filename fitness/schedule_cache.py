"""The forward schedules made last, within a memory limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from .forward_schedule import ForwardSchedule


class ScheduleCache:
    """Keeps schedules by key; the one that was used longest ago goes first.

    Args:
        limit: memory for all schedules together, in bytes. A schedule that is larger is not kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._schedules: OrderedDict[Hashable, ForwardSchedule] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], ForwardSchedule]) -> ForwardSchedule:
        """The schedule kept under `key`, or the one that `make` returns."""
        if key in self._schedules:
            self._schedules.move_to_end(key)
            return self._schedules[key]
        schedule = self._schedules[key] = make()
        self._held += schedule.nbytes
        while self._held > self._limit:
            _, oldest = self._schedules.popitem(last=False)
            self._held -= oldest.nbytes
        return schedule
