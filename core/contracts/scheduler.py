"""Contract `heterosis.schedulers`: which of the waiting evaluations a free worker gets."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Work:
    """An evaluation that waits, as the worker that asks sees it.

    Attributes:
        seconds: > 0, how long it is expected to take on a device of speed 1; where nothing is known, a guess.
        priority: more is more important; 0 is usual.
        need_bytes: the device memory that it takes, as foreseen; 0 where nothing is known.
        waited_seconds: since it was first queued, lost attempts included.
        attempts_lost: how many workers were lost while they had it.
        near: in [0, 1], the share of its tensors that equal those of the model which the asking worker has resident.
        loaded: whether the asking worker has its study's sources already.
        deadline_seconds: how long from now it should be over; negative if that is past, None if it has no deadline.
    """

    id: str
    study_id: str
    seconds: float
    priority: int = 0
    need_bytes: int = 0
    waited_seconds: float = 0.0
    attempts_lost: int = 0
    near: float = 0.0
    loaded: bool = False
    deadline_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A worker that is alive, as far as the record tells.

    Attributes:
        device_type: such as `NVIDIA A10G`.
        memory_bytes: the device memory that evaluations may take.
        speed: > 0, in devices of speed 1: as measured lately, so that a worker which became slow shows it.
        price_per_hour: >= 0, in any currency, the same for all.
        losses_per_hour: >= 0, how often such a worker is lost (`heterosis.workers.schedulers.losses`).
        busy_seconds_left: 0 if it is free. One that has taken longer than expected is expected to take as much longer
            again, so that nobody waits for it for ever.
    """

    id: str
    device_type: str = "cpu"
    memory_bytes: int = 0
    speed: float = 1.0
    price_per_hour: float = 0.0
    losses_per_hour: float = 0.0
    busy_seconds_left: float = 0.0

    def holds(self, work: Work) -> bool:
        """Whether the work fits into its memory."""
        return work.need_bytes <= self.memory_bytes

    def seconds_for(self, work: Work) -> float:
        """How long it would take for the work."""
        return work.seconds / self.speed

    def survival(self, work: Work) -> float:
        """The probability that it is not lost before the work is over, losses being independent of age."""
        return math.exp(-self.losses_per_hour * self.seconds_for(work) / 3600.0)


class Scheduler(ABC):
    """Chooses work for the worker that asks. Pure: the same arguments give the same choice, and nothing is kept.

    A worker may be left without work that it could do, for the sake of a better one. But work must never be left for
    ever: whenever all workers are free and one of them can hold something that waits, at least one of them accepts
    something if it asks. `heterosis.testing.schedulers.check_scheduler` looks after that.

    A subclass's options are explicit keyword arguments of its `__init__`, each with a default; a value that cannot be
    used raises ConfigurationError.
    """

    name: ClassVar[str]

    @abstractmethod
    def choose(self, worker: Standing, waiting: Sequence[Work], fleet: Sequence[Standing]) -> Work | None:
        """The work that the worker is to do now; None if it had better wait, and ask again a few seconds later.

        Args:
            worker: the one that asks; it is free, whatever its `busy_seconds_left`.
            waiting: in any order; not more than are worth looking at (the first few hundred by priority and age).
            fleet: all workers that are alive, the asking one among them, in any order.

        Returns:
            One of `waiting` that the worker can hold.
        """
