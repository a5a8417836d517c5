"""Affinity: of works that are about equally due, the one that the worker is warm for."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.contracts.scheduler import Work

WINDOW_SECONDS = 30.0
"""By default, nobody is overtaken for affinity by what came more than so many seconds later."""


def may_overtake(work: Work, first: Work, window_seconds: float) -> bool:
    """Whether it may go before `first`: of its priority, and queued no more than `window_seconds` after it."""
    return work.priority == first.priority and work.waited_seconds >= first.waited_seconds - window_seconds


def warmest(works: Sequence[Work]) -> Work:
    """The one whose study is loaded, and the nearest to the resident model; of equal ones the first."""
    return max(works, key=lambda work: (work.loaded, work.near))
