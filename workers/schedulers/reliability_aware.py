"""Reliability-aware scheduling: volatile workers get short work, what matters goes to those that stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ...core.contracts.scheduler import Work
from ...core.errors import ConfigurationError
from .affinity import WINDOW_SECONDS
from .foresight import PATIENCE_SECONDS, ForesightScheduler
from .options import probability_of, seconds_of
from .outlook import Figures, Flags, Prospects

IMPORTANT = 1
SURVIVAL, IMPORTANT_SURVIVAL = 0.9, 0.99
REPLACEMENT_SECONDS = 60.0
RESERVE = 0.25


class ReliabilityAware(ForesightScheduler):
    """A worker is good enough for a work if it ends it in time and is probably not lost before.

    A worker that is lost L times an hour survives a work of d seconds with probability exp(-L d / 3600); work that is
    short enough is safe with anybody. Of those that are good enough,
    * usual work goes to the one that begins first, and of those that begin at once to the most volatile, so that
      reliable ones are kept for what needs them;
    * important work, and work that was lost before, for which more certainty is demanded, goes to the one that is
      expected to end first.

    If nobody is good enough, whoever is expected to end first, in time if possible, gets it, so that nothing waits for
    reliable workers where there are none. The expected end counts lost attempts: with losses at rate L, each noticed
    after R seconds, and begun anew, work of d seconds takes (1 / L + R)(exp(L d) - 1) (Duda 1983, without checkpoints).

    Volunteer computing has known these rules for long: leaving out hosts that will not be done in time (Kondo, Chien
    and Casanova 2007, Scheduling task parallel applications for rapid turnaround on enterprise desktop grids), matching
    long tasks to hosts that are predicted to stay (Anglano and others 2006, Fault-aware scheduling for bag-of-tasks
    applications on desktop grids), and sending retries and urgent jobs to reliable hosts (Anderson 2020, BOINC: a
    platform for volunteer computing). For fleets of volatile GPUs see Yu and others 2025 (REACH, arXiv:2508.12857).
    They also send copies of a work to several hosts. An evaluation here has one lease at a time, so there are no
    copies; short work for volatile workers is the means that remains.

    Args:
        important: work of at least this priority is important.
        survival, important_survival: in [0, 1), the probability of survival that usual and important work demands.
        replacement_seconds: how long it takes to notice that a worker was lost: the lease.
        patience_seconds: by when work without a deadline should have begun, after it was queued.
        reserve: in [0, 1), the share of the time to a deadline that is kept for what goes wrong.
        affinity_seconds: among works of one priority that are due within so many seconds after the first, and for which
            the worker is the best, it gets the one that it is warm for.
    """

    name: ClassVar[str] = "reliability_aware"

    def __init__(
        self,
        *,
        important: int = IMPORTANT,
        survival: float = SURVIVAL,
        important_survival: float = IMPORTANT_SURVIVAL,
        replacement_seconds: float = REPLACEMENT_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        reserve: float = RESERVE,
        affinity_seconds: float = WINDOW_SECONDS,
    ) -> None:
        super().__init__(patience_seconds=patience_seconds, reserve=reserve, affinity_seconds=affinity_seconds)
        if not isinstance(important, int) or isinstance(important, bool):
            raise ConfigurationError(f"important must be a whole number, a priority, not {important!r}")
        self.important = important
        self.survival = probability_of(survival, "survival")
        self.important_survival = probability_of(important_survival, "important_survival")
        self.replacement_seconds = seconds_of(replacement_seconds, "replacement_seconds")

    def ranking(self, work: Work, prospects: Prospects) -> Sequence[Figures | Flags]:
        """Good enough; in time; then what the class says."""
        hazard = prospects.losses_per_hour / 3600.0
        special = work.priority >= self.important or work.attempts_lost > 0
        demanded = self.important_survival if special else self.survival
        good = prospects.in_time & (np.exp(-hazard * prospects.duration) >= demanded)
        end = prospects.start + _with_restarts(prospects.duration, hazard, self.replacement_seconds)
        if special:
            return (~good, ~prospects.in_time, end)
        return (~good, ~prospects.in_time, np.where(good, prospects.start, end), -prospects.losses_per_hour)


def _with_restarts(duration: Figures, hazard: Figures, replacement_seconds: float) -> Figures:
    """Expected seconds to the end of a work that is begun anew whenever its worker is lost."""
    least = np.maximum(hazard, 1e-12)  # losses so rare that they do not show
    return (1.0 / least + replacement_seconds) * np.expm1(np.minimum(least * duration, 500.0))
