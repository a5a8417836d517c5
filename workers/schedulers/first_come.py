"""First come, first served, by priority: the scheduler for a fleet of equals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ...core.contracts.scheduler import Scheduler, Standing, Work
from .affinity import WINDOW_SECONDS, warmest
from .options import seconds_of


class FirstCome(Scheduler):
    """The highest priority first, then what has waited longest. A worker that can do anything is never left idle.

    Args:
        affinity_seconds: among works of one priority that were queued within so many seconds of the first, a worker
            gets the one that it is warm for. Nobody is overtaken by what came later than that, so that waiting for the
            sake of others is bounded. 0: strictly in order.
    """

    name: ClassVar[str] = "first_come"

    def __init__(self, *, affinity_seconds: float = WINDOW_SECONDS) -> None:
        self.affinity_seconds = seconds_of(affinity_seconds, "affinity_seconds")

    def choose(self, worker: Standing, waiting: Sequence[Work], fleet: Sequence[Standing]) -> Work | None:
        """See the contract."""
        order = sorted(
            (work for work in waiting if worker.holds(work)),
            key=lambda work: (-work.priority, -work.waited_seconds, work.id),
        )
        if not order:
            return None
        first = order[0]
        latest = first.waited_seconds - self.affinity_seconds
        return warmest([work for work in order if work.priority == first.priority and work.waited_seconds >= latest])
