"""What a study tells while it runs."""

from __future__ import annotations

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
        doing: what is done now, where it is not plainly evaluating candidates, or "".
        asked: where candidates race, how many items they have been asked in all; None elsewhere.
    """

    stage: Stage
    done: int
    whole: int
    failed: int
    last: str
    best: str
    seconds_each: float | None
    seconds_left: float | None
    doing: str = ""
    asked: int | None = None


Listener: TypeAlias = Callable[[Progress], None]
Evaluated: TypeAlias = Callable[..., None]
"""Called as `evaluated(*evaluation_ids)` when these are over, or without any when candidates were measured."""


def ignored(*_evaluation_ids: str) -> None:
    """Nobody waits for evaluations to be over."""


def silent(_progress: Progress) -> None:
    """Nobody listens."""
