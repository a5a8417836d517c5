"""What a study tells while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..core.stage import Stage


@dataclass(frozen=True)
class Progress:
    """How far a stage of a study is.

    Attributes:
        done, whole: evaluations of the stage, those recorded earlier included.
        failed: how many of `done` failed.
        last: what was evaluated last (`candidate 7`, a reference's label), or "" at the start.
        best: the best candidate so far and its value of the first objective, or "".
        seconds_each: mean wall-clock seconds of an evaluation in this run, or None before the first.
        seconds_left: estimate of what the stage still takes, or None before the first.
    """

    stage: Stage
    done: int
    whole: int
    failed: int
    last: str
    best: str
    seconds_each: float | None
    seconds_left: float | None


Listener: TypeAlias = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """Nobody listens."""


class Stopwatch:
    """Times the evaluations of this run, to foresee the rest."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._done = 0

    def lap(self) -> None:
        """One more evaluation is done."""
        self._done += 1

    @property
    def seconds_each(self) -> float | None:
        """Mean seconds of an evaluation, or None if none is done."""
        return (time.monotonic() - self._started) / self._done if self._done else None
