"""`heterosis levels`: what a search of bit-widths gained over uniform levels, allocations and hand mixes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from .console import HEAD, QUIET, console, pairs, print_json, table
from .opening import loaded
from .options import DEFAULT_STORAGE, Json, Name, Storage

if TYPE_CHECKING:
    from ..search.level_report import Comparison, LevelReport


def levels(name: Name = None, storage: Storage = DEFAULT_STORAGE, json: Json = False) -> None:
    """Show why not uniform: what the search gained over its starts, and the winner's levels.

    Each start is compared with the best candidate that takes no more than it; all figures are from search items.

    Example:

        heterosis levels quickstart
    """
    from ..search.level_report import as_json, level_report
    from .best import units_of

    with loaded(storage, name) as study:
        report = level_report(study)
        if json:
            print_json(as_json(report))
            return
        screen = console()
        unit = units_of(study)[report.objective]
        direction = "lower" if study.spec.objectives[0].direction == "minimize" else "higher"
        screen.print(
            Text.assemble(
                ("Levels", HEAD),
                f" of {study.spec.name}: the best that takes no more than each start, by {report.objective} "
                f"({direction} is better) on search items",
            )
        )
        screen.print(_comparisons(report, unit))
        screen.print()
        winner = f"candidate {report.winner.number}, {report.winner.bits:.2f} bits for each weight"
        screen.print(Text.assemble(("Winner", HEAD), f": {winner}; a column for each layer"))
        screen.print(pairs(picture(report)))
        screen.print(Text("  ".join(f"{sign} {label}" for label, sign in report.signs.items()), style=QUIET))


def _comparisons(report: LevelReport, unit: str) -> Table:
    made = table(
        "start", "bits", report.objective, "best", "its bits", "gain", "winner's gain",
        right=["bits", report.objective, "best", "its bits", "gain", "winner's gain"],
    )  # fmt: skip
    for row in report.comparisons:
        made.add_row(row.label, *_cells(row, unit))
    return made


def _cells(row: Comparison, unit: str) -> Iterator[str]:
    from .formats import number

    if row.start is None or row.best is None or row.gain is None:
        yield "not evaluated"
        return
    yield f"{row.start.bits:.2f}"
    yield number(row.start.value.mean, unit)
    yield f"candidate {row.best.number}" if row.gain > 0 else "itself"
    yield f"{row.best.bits:.2f}"
    yield _signed(row.gain, unit)
    yield "takes more" if row.winner_gain is None else _signed(row.winner_gain, unit)


def _signed(value: float, unit: str) -> str:
    from .formats import number

    return ("+" if value > 0 else "") + number(value, unit)


def picture(report: LevelReport) -> Iterator[tuple[str, str]]:
    """By kind of weights, a sign for each layer's level."""
    layers = max(map(len, report.levels.values()), default=1)
    for kind, labels in report.levels.items():
        every = labels if len(labels) > 1 or kind in ("embedding", "head") else list(labels) * layers
        yield kind, "".join(report.signs[label] for label in every)
