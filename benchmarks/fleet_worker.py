"""A simulated worker: one life of a host, from joining to being lost."""

from __future__ import annotations

import numpy as np

from .fleet_devices import Host
from .fleet_workload import Evaluation

SLOW_PER_HOUR = 0.05
SLOW_FACTOR = (5.0, 10.0)
SLOW_HOURS = 0.5
"""A straggler: how often a worker becomes slow, by what factor (drawn from this range), and for how long on average."""
FOLLOWING = 0.5
"""How far the measured speed follows the last evaluation's."""


class Worker:
    """What a worker does and is known for.

    Attributes:
        measured_speed: what the scheduler is told.
        questions: how often it has asked for work.
        poll_seconds: how long it waits before it asks again, if it gets nothing.
        studies: whose sources it has.
        work, evaluating_since: what it has claimed, and since when it computes it; None while it fetches or waits.
        busy_seconds, held_seconds: time spent evaluating, and from claims to their ends (what is paid for).
    """

    def __init__(self, host: Host, life: int, now: float, poll_seconds: float) -> None:
        rng = np.random.default_rng([*host.seed, life])
        self.id = f"host {host.number:04d} life {life}"
        self.host = host
        self.joined_at = now
        self.lifetime = float(rng.exponential(3600.0 / host.losses_per_hour)) if host.losses_per_hour else np.inf
        self.away_seconds = float(rng.exponential(1.0))  # times the mean
        self.beat_phase = float(rng.random())
        self._slow_from = now + float(rng.exponential(3600.0 / SLOW_PER_HOUR))
        self._slow_until = self._slow_from + float(rng.exponential(3600.0 * SLOW_HOURS))
        self._slow_factor = float(rng.uniform(*SLOW_FACTOR))
        self.measured_speed = host.kind.speed
        self.alive = True
        self.questions = 0
        self.poll_seconds = poll_seconds
        self.studies: set[str] = set()
        self.work: Evaluation | None = None
        self.expected_end = 0.0
        self.claimed_at = 0.0
        self.evaluating_since: float | None = None
        self.busy_seconds = 0.0
        self.held_seconds = 0.0

    def speed(self, now: float) -> float:
        """The true speed of an evaluation that begins now."""
        slow = self._slow_from <= now < self._slow_until
        return self.host.kind.speed / (self._slow_factor if slow else 1.0)

    def measure(self, expected_seconds: float, elapsed: float) -> None:
        """Learns from an evaluation that took so long."""
        self.measured_speed += FOLLOWING * (expected_seconds / elapsed - self.measured_speed)

    def busy_seconds_left(self, now: float) -> float:
        """As the contract wants it: one that is late is expected to be as late again."""
        return abs(self.expected_end - now) if self.work is not None else 0.0

    def let_go(self, now: float) -> None:
        """It ends what it has claimed, or is lost with it."""
        if self.evaluating_since is not None:
            self.busy_seconds += now - self.evaluating_since
            self.evaluating_since = None
        if self.work is not None:
            self.held_seconds += now - self.claimed_at
            self.work = None
