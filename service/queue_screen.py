"""The queue as a screen of text, or as a line."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from ..storage.monitor_records import (
    AttemptSeen,
    Failure,
    FleetView,
    Quarantined,
    QueueDepth,
    RunningEvaluation,
    WorkerSeen,
)
from .console import BAD, HEAD, QUIET, table
from .formats import duration
from .worker_words import age, one_line, place, stage

WIDE = 100
"""From so many columns on, a bar and the lease are shown."""
_BAR = 10
_TAIL_LINES = 3
_LONGEST_REASON = 300
_FEWEST = 3


def screen(fleet: FleetView, width: int, height: int | None = None) -> RenderableType:
    """All of it, one block below the other.

    Args:
        width: columns; fewer than `WIDE` leave something out.
        height: lines; of running candidates, only as many as fit are shown. Default: all.
    """
    below = [*_failures(fleet.failures), *_quarantine(fleet.quarantined)]
    shown = len(fleet.running)
    if height is not None:
        taken = len(fleet.depths) + len(fleet.failures) + 9 + (_TAIL_LINES + 2) * len(fleet.quarantined)
        shown = max(height - taken, _FEWEST)
    return Group(
        *_heading(fleet),
        *_depths(fleet.depths),
        *_running(fleet.running, width, shown),
        *below,
        *_advice(fleet),
    )


def plain_line(fleet: FleetView) -> str:
    """It in a line."""
    parts = [_amounts(fleet), f"{fleet.throughput.minute} done in the last minute"]
    left = fleet.outlook.seconds_left
    return ", ".join([*parts, f"about {duration(left)} left"] if left else parts)


def _heading(fleet: FleetView) -> Iterator[RenderableType]:
    left = fleet.outlook.seconds_left
    line = Text(_amounts(fleet), style=HEAD)
    if left:
        line.append(f", about {duration(round(left))} left")
    yield line
    done = fleet.throughput
    if done.hour:
        failed = f" ({done.failed_hour} failed)" if done.failed_hour else ""
        each = "" if fleet.outlook.mean_seconds is None else f", {duration(fleet.outlook.mean_seconds)} each"
        lately = (
            f"{done.minute} done in the last minute, {done.ten_minutes} in ten, {done.hour}{failed} in an hour{each}"
        )
        yield Text(lately, style=QUIET)


def _amounts(fleet: FleetView) -> str:
    up = sum(worker.state == "up" for worker in fleet.workers)
    workers = "1 worker" if up == 1 else f"{up} workers"
    return f"{fleet.count('queued'):,} waiting, {fleet.count('running'):,} running, {workers}"


def _depths(depths: Sequence[QueueDepth]) -> Iterator[RenderableType]:
    if not depths:
        return
    made = table("queue", "priority", "waiting", "running", "workers", right=["priority", "waiting", "running"])
    for depth in depths:
        nobody = depth.queued > depth.held and not depth.workers
        workers = Text("nobody takes from it", style=BAD) if nobody else Text(str(depth.workers))
        made.add_row(depth.queue, str(depth.priority), f"{depth.queued:,}", f"{depth.running:,}", workers)
    yield ""
    yield made


def _running(running: Sequence[RunningEvaluation], width: int, shown: int) -> Iterator[RenderableType]:
    if not running:
        return
    wide = width >= WIDE
    studies = {one.subject.study for one in running}
    several = len(studies) > 1
    columns = ["running", *(["study"] if several else []), "stage", "worker", "device", "progress", "for"]
    made = one_line(table(*columns, *(["lease"] if wide else []), "", right=["for", "lease"]))
    for one in running[:shown]:
        cells: list[str | Text] = [one.subject.candidate, *([one.subject.study] if several else [])]
        cells += [stage(one.subject), place(one.worker), one.device or "-", _progress(one.progress, wide)]
        cells.append(age(one.seconds))
        if wide:
            cells.append(age(one.lease_seconds) if one.lease_seconds > 0 else "ended")
        made.add_row(*cells, _remark(one))
    yield ""
    yield made
    if len(running) > shown:
        yield Text(f"and {len(running) - shown} more", style=QUIET)


def _progress(share: float | None, wide: bool) -> Text:
    if share is None:
        return Text("-", style=QUIET)
    figure = f"{share:4.0%}"
    if not wide:
        return Text(figure)
    full = round(share * _BAR)
    return Text.assemble(("━" * full, "cyan"), ("━" * (_BAR - full), QUIET), figure)


def _remark(one: RunningEvaluation) -> Text:
    if one.lease_seconds <= 0:
        return Text("silent", style=BAD)
    return Text(f"attempt {one.attempt}", style="yellow") if one.attempt > 1 else Text("")


def _failures(failures: Sequence[Failure]) -> Iterator[RenderableType]:
    others = [failure for failure in failures if failure.kind != "lost"]
    if not others:
        return
    several = len({failure.subject.study for failure in others}) > 1
    made = one_line(table("failed", *(["study"] if several else []), "stage", "ago", "reason", right=["ago"]))
    for failure in others:
        cells: list[str | Text] = [failure.subject.candidate, *([failure.subject.study] if several else [])]
        reason = Text.assemble((f"{failure.kind}: ", BAD), _first_line(failure.text), no_wrap=True, overflow="ellipsis")
        made.add_row(*cells, stage(failure.subject), age(failure.seconds_ago), reason)
    yield ""
    yield made


def _quarantine(quarantined: Sequence[Quarantined]) -> Iterator[RenderableType]:
    for one in quarantined:
        tries = ", ".join(_ending(attempt) for attempt in one.attempts)
        said = next((attempt.log_tail for attempt in reversed(one.attempts) if attempt.log_tail), None)
        yield ""
        name = f"{one.failure.subject.candidate} of {one.failure.subject.study}"
        yield Text.assemble((f"In quarantine: {name}", BAD), f", lost {len(one.attempts)} workers: {tries}")
        for line in (said or "").strip().splitlines()[-_TAIL_LINES:]:
            yield Text(f"  {line}", style=QUIET, no_wrap=True, overflow="ellipsis")


def _ending(attempt: AttemptSeen) -> str:
    if attempt.exit_signal is None:
        return place(attempt.worker)
    try:
        name = signal.Signals(attempt.exit_signal).name
    except ValueError:
        name = f"signal {attempt.exit_signal}"
    return f"{place(attempt.worker)} ({name})"


def _advice(fleet: FleetView) -> Iterator[RenderableType]:
    """What to do where nothing would happen by itself."""
    lines: list[str] = []
    if not fleet.depths:
        lines.append(
            "Nothing waits. `heterosis run STUDY.yaml` begins a study, `heterosis status` shows those there are."
        )
    for name, count in fleet.held.items():
        resume = f"heterosis resume {shlex.quote(name)}"
        lines.append(f"{count:,} of those that wait are of {name}, which does not run now: `{resume}`.")
    starved = [depth.queue for depth in fleet.depths if depth.queued > depth.held and not depth.workers]
    if starved and not _up(fleet.workers):
        lines.append("No worker is up: `heterosis worker` starts one (on any machine that reaches the database).")
    elif starved:
        names = ", ".join(dict.fromkeys(starved))
        lines.append(
            f"No worker that is up can hold what waits in {names}: start one on a device with that much memory."
        )
    lost = sum(worker.state == "lost" for worker in fleet.workers)
    if lost:
        lines.append(f"{lost} of the workers fell silent; `heterosis workers` shows which.")
    if fleet.count("queued"):
        for worker in fleet.workers:
            lines += [f"{place(worker.owner)} cannot evaluate {name}: {why}" for name, why in worker.refused.items()]
    for line in lines:
        yield ""
        yield Text(line)


def _up(workers: Sequence[WorkerSeen]) -> bool:
    return any(worker.state == "up" for worker in workers)


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else "unknown"
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."
