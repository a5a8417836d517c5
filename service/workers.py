"""`heterosis workers`: who works, on what device, and when they were last heard of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from .console import QUIET, console, print_json, table
from .formats import size
from .opening import opened
from .options import DEFAULT_STORAGE, Json, Storage
from .plain_records import plain

if TYPE_CHECKING:
    from ..storage.monitor_records import WorkerSeen

_GONE = 50
_WIDE = 100
"""From so many columns on, memory and age are shown."""
_NONE_UP = (
    "No worker is up. `heterosis run` evaluates in its own process; for a fleet, start `heterosis worker` on each "
    "machine, with the same database and broker."
)


def workers(
    storage: Storage = DEFAULT_STORAGE,
    all_: Annotated[bool, typer.Option("--all", metavar="", help=f"Also the latest {_GONE} that have left.")] = False,
    json: Json = False,
) -> None:
    """Show who works, and on what.

    Each worker with its device, what it evaluates, how many evaluations it has done and how many of them failed, and
    when it was last heard of.

    `up` takes work; `draining` finishes what it has and then leaves; `drifted` gave other numbers than the others for
    the same model, so it is given nothing more; `lost` has been silent for two minutes or its process is dead, and what
    it had is given to others when its lease ends; `gone` left in order (shown with --all).

    Examples:

        heterosis workers

        heterosis workers --all --json
    """
    from .worker_words import place

    with opened(storage) as store:
        found = store.monitor.workers(gone=_GONE if all_ else 0)
    if json:
        print_json(plain(found))
        return
    to = console()
    if found:
        to.print(_table(found, to.width))
        remarks = [(worker.owner, remark) for worker in found for remark in _remarks(worker)]
        if remarks:
            to.print()
        for owner, remark in remarks:
            to.print(Text.assemble((f"{place(owner)}: ", QUIET), remark))
    if not any(worker.state in ("up", "draining", "drifted") for worker in found):
        to.print("\n" + _NONE_UP if found else _NONE_UP)


def _table(found: Sequence[WorkerSeen], width: int) -> Table:
    from .worker_words import age, one_line, place, stage, state

    wide = width >= _WIDE
    several = len({worker.evaluation.study for worker in found if worker.evaluation}) > 1
    columns = [
        "worker",
        "device",
        *(["memory", "up for"] if wide else []),
        "state",
        "evaluates",
        "done",
        "failed",
        "seen",
    ]
    flush = ["memory", "up for", "done", "failed", "seen"]
    made = one_line(table(*columns, right=flush))
    for worker in found:
        doing = worker.evaluation
        of = f" of {doing.study}" if doing and several else ""
        cells: list[str | Text] = [place(worker.owner), worker.device_name or "-"]
        if wide:
            cells += [_memory(worker), age((worker.last_seen_at - worker.started_at).total_seconds())]
        cells += [
            state(worker),
            f"{doing.candidate}{of}{f', {stage(doing)}' if wide else ''}" if doing else Text("-", style=QUIET),
            f"{worker.done:,}",
            f"{worker.failed:,}",
            f"{age(worker.silent_seconds)} ago" if worker.silent_seconds >= 1 else "now",
        ]
        made.add_row(*cells)
    return made


def _remarks(worker: WorkerSeen) -> list[str]:
    refusals = [f"cannot evaluate {study}: {reason}" for study, reason in worker.refused.items()]
    return [*([worker.reason] if worker.reason else []), *refusals]


def _memory(worker: WorkerSeen) -> str:
    given = worker.device.get("memory_bytes")
    return size(given) if isinstance(given, int | float) else "-"
