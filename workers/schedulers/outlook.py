"""What a fleet is about to do: when each worker will be free, and how it would do with a work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ...core.contracts.scheduler import Standing, Work

Figures: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]


class Prospects(NamedTuple):
    """How each worker would do with a work. All of shape (workers,), to be read only; times in seconds, from now.

    Attributes:
        holds: whether it has the memory.
        start: when it would begin.
        duration: how long it would take, if nothing happens.
        in_time: whether it would begin by the latest time at which it may.
        price_per_hour, losses_per_hour: as in `Standing`.
    """

    holds: Flags
    start: Figures
    duration: Figures
    in_time: Flags
    price_per_hour: Figures
    losses_per_hour: Figures

    @property
    def finish(self) -> Figures:
        """When it would end, if nothing happens."""
        return self.start + self.duration


class Outlook:
    """A fleet and works as arrays, the asking worker at place 0. A worker is free after what it is foreseen to do.

    Args:
        works: they are spoken of by their places.
        patience_seconds: by when work without a deadline should have begun, after it was queued.
        reserve: the share of the time to a deadline that should be left over.
    """

    def __init__(
        self,
        asking: Standing,
        fleet: Sequence[Standing],
        works: Sequence[Work],
        patience_seconds: float,
        reserve: float,
    ) -> None:
        # by id, so that workers that are alike are taken in the same order whoever asks
        others = sorted((worker for worker in fleet if worker.id != asking.id), key=lambda worker: worker.id)
        workers = [asking, *others]
        self._price = np.array([worker.price_per_hour for worker in workers])
        self._losses = np.array([worker.losses_per_hour for worker in workers])
        self._free_in = np.array([0.0, *(worker.busy_seconds_left for worker in others)])
        # for all works at once, as there may be hundreds: shape (works, workers)
        memory = np.array([worker.memory_bytes for worker in workers], dtype=np.int64)
        self._holds = np.array([work.need_bytes for work in works], dtype=np.int64)[:, None] <= memory
        speed = np.array([worker.speed for worker in workers])
        self._duration = np.array([work.seconds for work in works])[:, None] / speed
        end = [np.inf if work.deadline_seconds is None else (1 - reserve) * work.deadline_seconds for work in works]
        start = [patience_seconds - work.waited_seconds if work.deadline_seconds is None else np.inf for work in works]
        self._latest = np.minimum(np.array(end)[:, None] - self._duration, np.array(start)[:, None])

    def prospects(self, place: int) -> Prospects:
        """How each worker would do with the work at this place."""
        in_time = self._free_in <= self._latest[place]
        return Prospects(self._holds[place], self._free_in, self._duration[place], in_time, self._price, self._losses)

    def give(self, worker: int, place: int) -> None:
        """A worker is foreseen to do the work at this place, after all that it has."""
        self._free_in[worker] += self._duration[place, worker]
