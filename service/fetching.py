"""Shows how checkpoints are fetched, converted and checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from .console import QUIET, moves
from .formats import size
from .stages import SECONDS_BETWEEN_LINES

if TYPE_CHECKING:
    from ..core.space import Space

Tell = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and the whole (0 if unknown), in bytes."""


def open_checkpoints(space: Space, console: Console) -> None:
    """Fetches what is not here yet, opens all checkpoints and takes their fingerprints, so that later steps are quick.

    Raises:
        CheckpointError: one cannot be had, is damaged, or does not fit the base.
    """
    with telling(console) as tell:
        space.progress = tell
        checkpoints = space.checkpoints
        for reference, label in {space.base: "base", **{r: label for label, r in space.labelled.items()}}.items():
            tell(f"checking {label}", 0, 0)
            _ = checkpoints[reference].fingerprint


@contextmanager
def telling(console: Console) -> Iterator[Tell]:
    """What to call with the progress of steps that are counted in bytes."""
    if moves(console):
        with _bars(console) as progress:
            yield _Bars(progress)
    else:
        yield _Lines(console)


@contextmanager
def working(console: Console, what: str) -> Iterator[None]:
    """A sign of life for a step of unknown length."""
    if not moves(console):
        console.print(what, soft_wrap=True)
        console.file.flush()
        yield
        return
    with console.status(what, spinner="line", spinner_style="cyan"):
        yield


@contextmanager
def counting(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A sign of life for steps that are counted; called with how many are done, and how many there are."""
    if moves(console):
        with console.status(what, spinner="line", spinner_style="cyan") as status:
            yield lambda done, whole: status.update(f"{what}: {done} of {whole} done")
        return

    def tell(done: int, whole: int) -> None:
        console.print(f"{what}: {done} of {whole} done", soft_wrap=True)
        console.file.flush()

    yield tell


def _bars(console: Console) -> Progress:
    columns = (
        SpinnerColumn("line", style="cyan", finished_text=" "),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None, complete_style="cyan", finished_style="cyan"),
        _Amount(Column(no_wrap=True)),
    )
    return Progress(*columns, console=console, transient=True, expand=True)


class _Amount(ProgressColumn):
    """How much is done, and how fast; nothing where the whole is unknown."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("")
        speed = f", {size(task.speed)}/s" if task.speed and not task.finished else ""
        return Text(f"{size(task.completed)} of {size(task.total)}{speed}", style=QUIET)


class _Bars:
    """A bar for each step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, whole: int) -> None:
        if what not in self._tasks:
            for task in self._tasks.values():
                self._progress.update(task, visible=False)  # one step at a time
            self._tasks[what] = self._progress.add_task(what, total=None)
        self._progress.update(self._tasks[what], completed=done, total=whole or None)


class _Lines:
    """A line when a step begins to take long, and every few seconds from then on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed = time.monotonic()

    def __call__(self, what: str, done: int, whole: int) -> None:
        if time.monotonic() - self._printed < SECONDS_BETWEEN_LINES:
            return
        amount = f": {size(done)} of {size(whole)}" if whole else ""
        self._console.print(f"{what}{amount}", soft_wrap=True)
        self._console.file.flush()
        self._printed = time.monotonic()
