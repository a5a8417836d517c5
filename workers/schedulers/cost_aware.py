"""Cost-aware scheduling: the cheapest device that is fast enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ...core.contracts.scheduler import Work
from .affinity import WINDOW_SECONDS
from .foresight import PATIENCE_SECONDS, ForesightScheduler
from .outlook import Figures, Flags, Prospects

RESERVE = 0.5


class CostAware(ForesightScheduler):
    """Each work goes to the worker that does it for the least money and still in time.

    This is bin packing over device types: a worker is a bin that is as long as the time to the deadline, a work's size
    depends on the bin (its seconds divided by the device's speed), its cost is that size times the device's price, and
    works are put, most urgent first, into the cheapest bin that has room (first fit over bins in order of cost, as for
    variable-sized bins, Friesen and Langston 1986). Where no worker has room in time, the one that would end first gets
    it. Cheap workers are thus kept busy, and dear ones are used for what does not fit into the others, by memory or by
    time; they may idle, which costs nothing if a device is paid for while it works, or is given back when it is idle.

    Without deadlines, work waits for a cheap worker for at most `patience_seconds`.

    Args:
        patience_seconds: by when work without a deadline should have begun, after it was queued.
        reserve: in [0, 1), the share of the time to a deadline that is kept for what goes wrong: work that takes longer
            than expected, or is lost and done again on a faster device. More is safer and dearer.
        affinity_seconds: among works of one priority that are due within so many seconds after the first, and for which
            the worker is the best, it gets the one that it is warm for.
    """

    name: ClassVar[str] = "cost_aware"

    def __init__(
        self,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        reserve: float = RESERVE,
        affinity_seconds: float = WINDOW_SECONDS,
    ) -> None:
        super().__init__(patience_seconds=patience_seconds, reserve=reserve, affinity_seconds=affinity_seconds)

    def ranking(self, work: Work, prospects: Prospects) -> Sequence[Figures | Flags]:
        """In time; then the least cost (or, late, the earliest end); then the earliest end."""
        cost = prospects.price_per_hour * prospects.duration / 3600.0
        return (~prospects.in_time, np.where(prospects.in_time, cost, prospects.finish), prospects.finish)
