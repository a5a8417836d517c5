"""Scheduling with foresight: who will do each waiting work is thought through whenever a worker asks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from ...core.contracts.scheduler import Scheduler, Standing, Work
from .affinity import WINDOW_SECONDS, peers, warmest
from .options import seconds_of
from .outlook import Figures, Flags, Outlook, Prospects

PATIENCE_SECONDS = 1800.0

ASKING = 0
"""The place of the worker that asks in an `Outlook`."""


class ForesightScheduler(Scheduler):
    """Foresees for each work in turn which worker does it, each after what was foreseen for it before.

    This is list scheduling (Graham 1969), done anew at each question with what is known by then. The most important
    come first, then the most urgent. The worker that asks gets the first work for which it comes out as the best; if it
    is the best for none, it is left without, because the others are foreseen to do all of them better.

    No work is left for ever. Who is best for the first work does not depend on who asks, so if all are free, the best
    for it accepts something. And a work that is past its deadline, or without one has waited for `patience_seconds`,
    goes to the first who asks and can hold it: foresight can err about a worker that was lost or became slow.

    Args:
        patience_seconds: by when work without a deadline should have begun.
        affinity_seconds: as in `FirstCome`, among the works for which the worker is the best.
    """

    def __init__(
        self, *, patience_seconds: float = PATIENCE_SECONDS, affinity_seconds: float = WINDOW_SECONDS
    ) -> None:
        self.patience_seconds = seconds_of(patience_seconds, "patience_seconds")
        self.affinity_seconds = seconds_of(affinity_seconds, "affinity_seconds")

    @abstractmethod
    def ranking(self, work: Work, prospects: Prospects) -> Sequence[Figures | Flags]:
        """What makes a worker the best for a work: the least of the first figures, of equal ones of the second...

        Returns:
            Each of shape (workers,). Where all are equal, the worker that asks is the best.
        """

    def choose(self, worker: Standing, waiting: Sequence[Work], fleet: Sequence[Standing]) -> Work | None:
        """See the contract."""
        outlook = Outlook(worker, fleet)
        order = sorted(waiting, key=lambda work: (-work.priority, self._due(work), -work.waited_seconds, work.id))
        for place, work in enumerate(order):
            best = self._best(work, outlook)
            if best == ASKING:
                rivals = peers(work, order[place + 1 :], self.affinity_seconds)
                return warmest([work, *(rival for rival in rivals if self._best(rival, outlook) == ASKING)])
            if best is not None:
                outlook.give(best, work)
        return None

    def _best(self, work: Work, outlook: Outlook) -> int | None:
        """The place of the worker that should do it; None if none can hold it."""
        places = outlook.holders(work)
        if not places.size:
            return None
        if places[0] == ASKING and self._due(work) <= 0:
            return ASKING
        for figures in self.ranking(work, outlook.prospects(work, self.patience_seconds)):
            least = figures[places].min()
            places = places[figures[places] == least]
        return int(places[0])

    def _due(self, work: Work) -> float:
        """Seconds from now: the deadline, or the end of patience."""
        if work.deadline_seconds is None:
            return self.patience_seconds - work.waited_seconds
        return work.deadline_seconds
