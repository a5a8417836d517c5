"""`heterosis up` and `heterosis down`: a whole fleet on this machine, without an administrator."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from .console import QUIET, console, pairs

FOLDER_VARIABLE = "HETEROSIS_FLEET"

Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder", envvar=FOLDER_VARIABLE, metavar="DIR", help="Where its files are.", show_default="your state folder"
    ),
]


def up(
    folder: Folder = None,
    devices: Annotated[
        str, typer.Option(metavar="NAMES", help="Devices of the workers: all, or cuda:0,cuda:1...")
    ] = "all",
    no_workers: Annotated[
        bool, typer.Option("--no-workers", metavar="", help="Only the broker and the database.")
    ] = False,
) -> None:
    """Start a fleet on this machine: a broker, a database, and a worker on each device.

    They go on when this command has ended, until `heterosis down`; after a restart of the machine, `heterosis up`
    goes on with the same database. Needs heterosis[embedded]. Only you can reach them.

    Example:

        heterosis up

        source ~/.local/state/heterosis/environment

        heterosis run study.yaml --workers celery
    """
    from ..workers.local_fleet import LocalFleet

    fleet = LocalFleet(folder or _default_folder())
    screen = console()
    with screen.status("coming up"):  # PyTorch takes its time
        for step in fleet.up(None if no_workers else devices):
            screen.print(pairs([(step.name, "started" if step.done else "up already")]))
    screen.print(Text("\nTo use it, in every shell:\n"))
    screen.print(Text(f"    source {_short(fleet.environment)}"), soft_wrap=True)
    screen.print(Text("    heterosis run study.yaml --workers celery\n"))
    screen.print(Text(f"logs are in {_short(fleet.folder)}; `heterosis down` ends it", style=QUIET), soft_wrap=True)


def down(
    folder: Folder = None,
    delete: Annotated[
        bool, typer.Option("--delete", metavar="", help="Remove its files too, with all studies in its database.")
    ] = False,
) -> None:
    """End what `heterosis up` started.

    Workers finish what they evaluate, or hand it back; what is recorded is kept until `--delete`.

    Example:

        heterosis down
    """
    from ..workers.local_fleet import LocalFleet

    fleet = LocalFleet(folder or _default_folder())
    screen = console()
    known = fleet.exists
    with screen.status("ending; workers finish or hand back what they evaluate"):
        for step in fleet.down():
            screen.print(pairs([(step.name, "ended" if step.done else "was not up")]))
    if delete:
        fleet.delete()
        screen.print(Text(f"removed {_short(fleet.folder)}"), soft_wrap=True)
    elif not known:
        screen.print(Text(f"there is no fleet in {_short(fleet.folder)}"), soft_wrap=True)


def _default_folder() -> Path:
    if sys.platform == "linux" and os.geteuid() == 0:
        return Path("/var/lib/heterosis")  # where the user that PostgreSQL runs as can get to
    import platformdirs

    return platformdirs.user_state_path("heterosis")


def _short(path: Path) -> str:
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
