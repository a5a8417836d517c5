"""Evaluations for the simulated fleet: how long, how big, how important, and by when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from .fleet_devices import GIGABYTE

SIZES = ((0.6, 2.0, 10.0), (0.3, 10.0, 20.0), (0.1, 40.0, 70.0))
"""Share of the evaluations, and from how many to how many gigabytes these take."""
SMALL_SIZES = ((1.0, 2.0, 10.0),)
TRUE_SECONDS_SPREAD = 0.2
"""Evaluations take longer or shorter than expected: the standard deviation of the logarithm."""
HIGH_PRIORITY, HIGH_SHARE = 10, 0.2


@dataclass
class Evaluation:
    """An evaluation and what became of it. Seconds are on a device of speed 1, times since the start.

    Attributes:
        expected_seconds, seconds: what the scheduler is told, and the truth.
        deadline_at, done_at: None if it has none, and while it is not done.
        attempts: how often it was claimed, as in the real queue.
        failed: lost with the last attempt.
    """

    id: str
    study_id: str
    expected_seconds: float
    seconds: float
    need_bytes: int
    priority: int = 0
    arrives_at: float = 0.0
    deadline_at: float | None = None
    queued_at: float = 0.0
    attempts: int = 0
    lost: int = 0
    done_at: float | None = None
    failed: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.failed or self.done_at is not None

    @property
    def in_time(self) -> bool:
        """Whether it was done by its deadline."""
        return self.done_at is not None and (self.deadline_at is None or self.done_at <= self.deadline_at)


@dataclass
class Workload:
    """Draws evaluations, the same ones for the same seed.

    Attributes:
        median_seconds, spread: of the expected seconds: log-normal, `spread` the standard deviation of the logarithm.
        slack: a deadline is so many times the expected seconds on a device of speed 1 after arrival, drawn from this
            range, and `grace_seconds` more. None: no deadlines.
        studies: how many studies they are of, in turn.
    """

    seed: int
    median_seconds: float
    spread: float
    sizes: tuple[tuple[float, float, float], ...] = SIZES
    slack: tuple[float, float] | None = None
    grace_seconds: float = 300.0
    studies: int = 1
    _numbers: Iterator[int] = field(default_factory=count)

    def draw(self) -> Evaluation:
        """The next evaluation."""
        number = next(self._numbers)
        rng = np.random.default_rng([self.seed, 3, number])
        expected = self.median_seconds * float(np.exp(rng.normal(0.0, self.spread)))
        noise = float(np.exp(rng.normal(0.0, TRUE_SECONDS_SPREAD)))
        _, least, most = self.sizes[int(rng.choice(len(self.sizes), p=[size[0] for size in self.sizes]))]
        need = int(rng.uniform(least, most) * GIGABYTE)
        priority = HIGH_PRIORITY if rng.random() < HIGH_SHARE else 0
        slack = rng.uniform(*self.slack) if self.slack else None
        deadline = None if slack is None else slack * expected + self.grace_seconds
        study = f"study {number % self.studies}"
        return Evaluation(f"{number:07d}", study, expected, expected * noise, need, priority, deadline_at=deadline)

    def arrivals(self, speed: float, hours: float) -> list[Evaluation]:
        """A Poisson stream of evaluations that keeps devices of that `speed` together busy, as far as expected."""
        mean = self.median_seconds * float(np.exp(self.spread**2 / 2))
        rng = np.random.default_rng([self.seed, 4])
        found: list[Evaluation] = []
        now = float(rng.exponential(mean / speed))
        while now < hours * 3600.0:
            one = self.draw()
            one.arrives_at = now
            one.deadline_at = None if one.deadline_at is None else now + one.deadline_at
            found.append(one)
            now += float(rng.exponential(mean / speed))
        return found
