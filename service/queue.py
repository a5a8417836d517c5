"""`heterosis queue`: what waits, what runs where, what failed, and how long it will take."""

from __future__ import annotations

import json as json_
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from ..core.errors import StorageError
from .console import BAD, console, moves, print_json
from .opening import opened
from .options import DEFAULT_STORAGE, Json, Storage
from .plain_records import plain
from .watching import looks, quiet_end

if TYPE_CHECKING:
    from ..storage import Store
    from ..storage.monitor_records import FleetView

_SECONDS_BETWEEN_LINES = 5.0
_FAILURES = 5


def queue(
    storage: Storage = DEFAULT_STORAGE,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", metavar="", help="Look again every second, until Ctrl-C.")
    ] = False,
    failures: Annotated[
        int, typer.Option(metavar="N", min=0, help="How many of the latest failures to show.")
    ] = _FAILURES,
    json: Json = False,
) -> None:
    """Show what waits and what runs.

    How much waits in each queue and who takes it; each running candidate with its worker, device, progress and age;
    the latest failures; how many were done lately, and how long the rest will take. It covers every study of the
    database, and only reads: ask as often as you like.

    A queue is named by the device memory that its candidates need (`24g`); a worker takes from those that its device
    can hold. A candidate that lost every worker which tried it is put in quarantine: it is tried no more, and the last
    lines that its workers wrote are shown.

    With --watch and --json, prints a line of JSON every second.

    Examples:

        heterosis queue --watch

        heterosis queue --json | jq '.outlook.seconds_left'
    """
    with opened(storage) as store:
        if watch:
            with quiet_end():
                _watch(store, failures, json)
            return
        fleet = store.monitor.fleet(failures)
    if json:
        print_json(plain(fleet))
        return
    from .queue_screen import screen

    to = console()
    to.print(screen(fleet, to.width))


def _watch(store: Store, failures: int, json: bool) -> None:
    from .queue_screen import plain_line

    if json:
        for seen in looks(lambda: store.monitor.fleet(failures)):
            content = {"error": str(seen)} if isinstance(seen, StorageError) else plain(seen)
            _line(json_.dumps(content, ensure_ascii=False))
    elif moves(console()):
        _watch_live(store, failures)
    else:
        for seen in looks(lambda: store.monitor.fleet(0), _SECONDS_BETWEEN_LINES):
            _line(str(seen) if isinstance(seen, StorageError) else plain_line(seen))


def _watch_live(store: Store, failures: int) -> None:
    """On the terminal's other page, as `top` does; what was seen last stays behind."""
    from .queue_screen import screen

    to = console()
    last: FleetView | None = None
    try:
        with Live(console=to, screen=True, auto_refresh=False) as live:
            for seen in looks(lambda: store.monitor.fleet(failures)):
                if isinstance(seen, StorageError):
                    note = Text(f"{seen}\nTrying again every second.", style=BAD)
                    live.update(
                        note if last is None else Group(screen(last, to.width, to.height - 4), note), refresh=True
                    )
                else:
                    last = seen
                    live.update(screen(seen, to.width, to.height), refresh=True)
    finally:
        if last is not None:
            to.print(screen(last, to.width))


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
