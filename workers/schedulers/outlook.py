"""What a fleet is about to do: when each worker will be free, and how it would do with a work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...core.contracts.scheduler import Standing, Work

Figures: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Prospects:
    """How each worker would do with a work. All of shape (workers,); times in seconds, from now.

    Attributes:
        start: when it would begin.
        duration: how long it would take, if nothing happens.
        in_time: whether it would keep the deadline; where there is none, whether it would begin before the scheduler's
            patience ends.
        price_per_hour, losses_per_hour: as in `Standing`.
    """

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
    """A fleet as arrays, the asking worker at place 0. Works that are foreseen for a worker make it free later."""

    def __init__(self, asking: Standing, fleet: Sequence[Standing]) -> None:
        # by id, so that workers that are alike are taken in the same order whoever asks
        others = sorted((worker for worker in fleet if worker.id != asking.id), key=lambda worker: worker.id)
        workers = [asking, *others]
        self._memory = np.array([worker.memory_bytes for worker in workers], dtype=np.int64)
        self._speed = np.array([worker.speed for worker in workers])
        self._price = np.array([worker.price_per_hour for worker in workers])
        self._losses = np.array([worker.losses_per_hour for worker in workers])
        self._free_in = np.array([0.0, *(worker.busy_seconds_left for worker in others)])

    def holders(self, work: Work) -> npt.NDArray[np.intp]:
        """The places of the workers that the work fits, in ascending order."""
        return np.flatnonzero(self._memory >= work.need_bytes)

    def prospects(self, work: Work, patience_seconds: float) -> Prospects:
        """How each worker would do with it."""
        duration = work.seconds / self._speed
        if work.deadline_seconds is None:
            in_time = self._free_in <= patience_seconds - work.waited_seconds
        else:
            in_time = self._free_in + duration <= work.deadline_seconds
        return Prospects(self._free_in.copy(), duration, in_time, self._price, self._losses)

    def give(self, place: int, work: Work) -> None:
        """The worker at this place is foreseen to do the work, after all that it has."""
        self._free_in[place] += work.seconds / self._speed[place]
