"""Affinity: of works that are about equally due, the one that the worker is warm for."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.contracts.scheduler import Work

WINDOW_SECONDS = 30.0
"""By default, nobody is overtaken for affinity by what came more than so many seconds later."""


def warmest(works: Sequence[Work]) -> Work:
    """The one whose study is loaded, and the nearest to the resident model; of equal ones the first."""
    return max(works, key=lambda work: (work.loaded, work.near))
