"""The command line, `heterosis`."""

from __future__ import annotations

from typing import Annotated

import typer

from .best import best
from .boundary import Commands
from .check import check
from .doctor import doctor
from .events import events
from .export import export
from .fitness import fitness
from .front import front
from .levels import levels
from .lineage import lineage
from .plugins import plugins
from .queue import queue
from .run import resume, run
from .statistics import statistics
from .status import status
from .up import down, up
from .worker import worker
from .workers import workers

app = typer.Typer(
    name="heterosis",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

SEARCH, LOOK, TAKE, FLEET, MACHINE = "Search", "Look", "Take", "Fleet", "This machine"

app.command(rich_help_panel=SEARCH)(check)
app.command(rich_help_panel=SEARCH)(run)
app.command(rich_help_panel=SEARCH)(resume)
app.command(rich_help_panel=LOOK)(status)
app.command(rich_help_panel=LOOK)(best)
app.command(rich_help_panel=LOOK)(front)
app.command(rich_help_panel=LOOK)(levels)
app.command(rich_help_panel=LOOK)(lineage)
app.command(rich_help_panel=LOOK)(fitness)
app.command(rich_help_panel=TAKE)(export)
app.command(rich_help_panel=FLEET)(worker)
app.command(rich_help_panel=FLEET)(up)
app.command(rich_help_panel=FLEET)(down)
app.command(rich_help_panel=FLEET)(queue)
app.command(rich_help_panel=FLEET)(workers)
app.command(rich_help_panel=FLEET)(events)
app.command(rich_help_panel=MACHINE)(statistics)
app.command(rich_help_panel=MACHINE)(plugins)
app.command(rich_help_panel=MACHINE)(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"heterosis {__version__}")
        raise typer.Exit


@app.callback()
def heterosis(
    debug: Annotated[
        bool, typer.Option("--debug", metavar="", envvar="HETEROSIS_DEBUG", help="Show tracebacks.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Breed a better language model out of fine-tunes that already exist.

    Write a study file (which fine-tunes, which tasks, what to vary), then:

    heterosis run study.yaml
    """


def main() -> None:
    """The entry point."""
    app()
