"""Shows how far a search is: two lines that renew themselves on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .console import BAD, HEAD, QUIET, moves
from .formats import duration

if TYPE_CHECKING:
    from ..search.progress import Progress

SECONDS_BETWEEN_LINES = 5.0
_FIRST = 12
_LOADING = "loading the model"
_FIRST_ONE = "evaluating the first"
_NOUNS = {"search": "candidates", "validation": "finalists", "test": "models"}


class Display(Protocol):
    """Listens to a study while it is entered."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __call__(self, progress: Progress) -> None:
        """Takes note of an evaluation."""


def display(console: Console, start: Progress) -> Display:
    """What suits the console. `start` is shown until the first evaluation."""
    return LiveDisplay(console, start) if moves(console) else LineDisplay(console, doing=start.doing)


class LiveDisplay:
    """A bar and a line of figures for the stage that runs; a line stays behind for each stage that is over."""

    def __init__(self, console: Console, start: Progress) -> None:
        self._console = console
        self._progress = start
        self._fresh = True
        self._stage_started = self._heard = time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._render)

    def __enter__(self) -> LiveDisplay:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)
        if not self._fresh:
            self._conclude()

    def __call__(self, progress: Progress) -> None:
        """Takes note of an evaluation."""
        if progress.stage != self._progress.stage:
            if not self._fresh:
                self._conclude()
            self._stage_started = self._heard
        self._progress, self._fresh, self._heard = progress, False, time.monotonic()

    def _conclude(self) -> None:
        self._console.print(Text(_conclusion(self._progress, self._heard - self._stage_started)))

    def _render(self) -> RenderableType:
        progress, now = self._progress, time.monotonic()
        bar = Table.grid(padding=(0, 2, 0, 0), expand=True)
        bar.add_column(width=_FIRST - 2)
        bar.add_column(ratio=1)
        bar.add_column(justify="right")
        bar.add_row(
            Text(progress.stage, style=HEAD),
            ProgressBar(total=max(progress.whole, 1), completed=progress.done, complete_style="cyan"),
            f"{progress.done} of {progress.whole}",
        )
        if progress.seconds_each is None:
            known = [f"{_beginning(progress.doing, self._fresh)}: {duration(now - self._heard)} so far"]
        elif progress.done >= progress.whole:
            known = [progress.doing or "done, the next stage begins", f"best {progress.best}"]
        else:
            left = (progress.seconds_left or 0.0) - (now - self._heard)
            known = [f"{duration(progress.seconds_each)} each", _left(left), f"best {progress.best}"]
        if progress.asked:
            known.insert(0, _asked(progress))
        shown = ", ".join(part for part in known if part != "best ")
        details = Text(" " * _FIRST + shown, style=QUIET, no_wrap=True, overflow="ellipsis")
        if progress.failed:
            details.append(f", {progress.failed} failed", style=BAD)
        return Group(bar, details)


class LineDisplay:
    """A line at most every few seconds, and the last of each stage."""

    def __init__(self, console: Console, seconds: float = SECONDS_BETWEEN_LINES, doing: str = "") -> None:
        self._console = console
        self._beginning = _beginning(doing, fresh=True)
        self._seconds = seconds
        self._printed = float("-inf")
        self._last: Progress | None = None
        self._said = True

    def __enter__(self) -> LineDisplay:
        self._console.print(self._beginning)
        self._console.file.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say()

    def __call__(self, progress: Progress) -> None:
        """Takes note of an evaluation."""
        if self._last is not None and progress.stage != self._last.stage:
            self._say()
        self._last, self._said = progress, False
        if time.monotonic() - self._printed >= self._seconds:
            self._say()

    def _say(self) -> None:
        if self._last is None or self._said:
            return
        self._console.print(plain_line(self._last), soft_wrap=True)
        self._console.file.flush()
        self._said, self._printed = True, time.monotonic()


def plain_line(progress: Progress) -> str:
    """Progress in a line: stage, how many, what is being done, the best, how long each takes, how long all will."""
    parts = [f"{progress.stage} {progress.done} of {progress.whole}"]
    if progress.doing:
        parts.append(progress.doing)
    if progress.asked:
        parts.append(_asked(progress))
    if progress.best:
        parts.append(f"best {progress.best}")
    if progress.seconds_each is not None:
        parts.append(f"{duration(progress.seconds_each)} each")
    if progress.seconds_left and progress.done < progress.whole:
        parts.append(_left(progress.seconds_left))
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    return ", ".join(parts)


def _beginning(doing: str, fresh: bool) -> str:
    """What is done before the first candidate is over; `fresh`: nothing is, not even a part of it."""
    return ", ".join([*([_LOADING] if fresh else []), doing or _FIRST_ONE])


def _asked(progress: Progress) -> str:
    return f"{progress.asked:,} items asked"


def _left(seconds: float) -> str:
    return f"about {duration(round(seconds))} left" if seconds >= 1 else "nearly done"


def _conclusion(progress: Progress, seconds: float) -> str:
    parts = [f"{progress.stage:<{_FIRST}}{progress.done} {_NOUNS[progress.stage]} in {duration(seconds)}"]
    if progress.asked:
        parts.append(_asked(progress))
    if progress.best and progress.stage != "test":
        parts.append(f"best {progress.best}")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    return ", ".join(parts)
