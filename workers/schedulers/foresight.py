"""Scheduling with foresight: who will do each waiting work is thought through whenever a worker asks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from ...core.contracts.scheduler import Scheduler, Standing, Work
from .affinity import WINDOW_SECONDS, warmest
from .options import probability_of, seconds_of
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
        patience_seconds: by when work without a deadline should have begun, after it was queued.
        reserve: in [0, 1), the share of the time to a deadline that is kept for what goes wrong.
        affinity_seconds: among works of one priority that are due within so many seconds after the first, and for which
            the worker is the best, it gets the one that it is warm for.
    """

    def __init__(
        self,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        reserve: float = 0.0,
        affinity_seconds: float = WINDOW_SECONDS,
    ) -> None:
        self.patience_seconds = seconds_of(patience_seconds, "patience_seconds")
        self.reserve = probability_of(reserve, "reserve")
        self.affinity_seconds = seconds_of(affinity_seconds, "affinity_seconds")

    @abstractmethod
    def ranking(self, work: Work, prospects: Prospects) -> Sequence[Figures | Flags]:
        """What makes a worker the best for a work: the least of the first figures, of equal ones of the second...

        Returns:
            Each of shape (workers,). Where all are equal, the worker that asks is the best.
        """

    def choose(self, worker: Standing, waiting: Sequence[Work], fleet: Sequence[Standing]) -> Work | None:
        """See the contract."""
        if not any(worker.holds(work) for work in waiting):
            return None
        order = sorted(waiting, key=lambda work: (-work.priority, self._due(work), -work.waited_seconds, work.id))
        outlook = Outlook(worker, fleet, order, self.patience_seconds, self.reserve)
        for place, work in enumerate(order):
            best = self._best(work, outlook.prospects(place))
            if best == ASKING:
                return warmest([work, *self._also_best(order, place, outlook)])
            if best is not None:
                outlook.give(best, place)
        return None

    def _also_best(self, order: Sequence[Work], first: int, outlook: Outlook) -> Iterator[Work]:
        """Later ones that may go before the first of the worker that asks, if they too are its."""
        latest = self._due(order[first]) + self.affinity_seconds
        for place in range(first + 1, len(order)):
            work = order[place]
            if work.priority < order[first].priority or self._due(work) > latest:
                return
            if self._best(work, outlook.prospects(place)) == ASKING:
                yield work

    def _best(self, work: Work, prospects: Prospects) -> int | None:
        """The place of the worker that should do it; None if none can hold it."""
        places = prospects.holds.nonzero()[0]
        if not places.size:
            return None
        if places[0] == ASKING and self._due(work) <= 0:
            return ASKING
        for figures in self.ranking(work, prospects):
            among = figures[places]
            places = places[among == among.min()]
            if places.size == 1:
                break
        return int(places[0])

    def _due(self, work: Work) -> float:
        """Seconds from now: the deadline, or the end of patience."""
        if work.deadline_seconds is None:
            return self.patience_seconds - work.waited_seconds
        return work.deadline_seconds
