"""`heterosis front`: the candidates that no other one beats in every objective."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from .console import HEAD, QUIET, console, print_json, table
from .opening import loaded
from .options import DEFAULT_STORAGE, Json, Name, Storage

_EXPORTED = ("exported as", "exported size", "tokens/s", "peak memory")


def front(
    name: Name = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it as well: .png, .svg or .pdf.")] = None,
    storage: Storage = DEFAULT_STORAGE,
    json: Json = False,
) -> None:
    """List the candidates that no other beats (the Pareto front).

    In all objectives, watched ones included; their figures are from search items. Beside those that have been exported
    stands what was measured of the files in their engine.

    Example:

        heterosis front quickstart --plot front.png
    """
    from .best import content, units_of
    from .formats import number

    with loaded(storage, name) as study:
        members = study.front()
        if plot is not None:
            from .figures import plot_front

            plot_front(study, plot)
        if json:
            print_json([content(member, study.spec.shares) for member in members])
            return
        objectives = (*study.spec.objectives, *study.spec.watch)
        units = units_of(study)
        screen = console()
        of = f"{len(members)} of {len(study.candidates)} candidates, on search items"
        screen.print(Text.assemble(("Front", HEAD), f" of {study.spec.name}: {of}"))
        headings = [f"{objective.label} ({_arrow(objective.direction)})" for objective in objectives]
        extra = ["items asked"] if study.spec.fitness is not None else []
        exports = [member.exports for member in members]
        exported = _EXPORTED if any(exports) else ()
        right = ["candidate", *headings, *extra, *exported[1:]]
        made = table("candidate", *headings, *extra, *exported, right=right)
        for member, written in zip(members, exports, strict=True):
            figures = member.measurements["search"]
            values = (number(figures[o.label].mean, units[o.label]) for o in objectives)
            asked = str(sum(figures[task].items for task in study.spec.tasks if task in figures))
            cells = zip(*map(_cells, written), strict=True)  # a line for each export
            made.add_row(str(member.record.number), *values, *([asked] if extra else []), *map("\n".join, cells))
        screen.print(made)
        if plot is not None:
            screen.print(f"drawn in {plot}", style=QUIET)


def _cells(figures: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """An exported model in the columns of `_EXPORTED`."""
    from .formats import number, size

    speed, memory = figures.get("decode_speed"), figures.get("memory")
    return (
        str(figures["format"]),
        size(figures["bytes"]),
        "" if speed is None else number(speed),
        "" if memory is None else size(memory),
    )


def _arrow(direction: str) -> str:
    return "max" if direction == "maximize" else "min"
