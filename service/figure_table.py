"""Tables of figures with intervals: a row for each model, as many columns side by side as the screen has room for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from ..core.estimate import Estimate
from .console import HEAD, QUIET, table
from .formats import figure

Row = tuple[str, Mapping[str, Estimate]]
_GAP = 2


def figure_tables(
    rows: Sequence[Row],
    columns: Sequence[str],
    width: int,
    held_out: Collection[str] = (),
    shares: Collection[str] = (),
    units: Mapping[str, str] | None = None,
    emphasis: str = "",
    notes: Mapping[tuple[str, str], str] | None = None,
) -> Iterator[Table]:
    """One table, or several below each other if the columns need more than `width`.

    Args:
        rows: what each row is called, and its figures; a figure that is missing is a dash.
        columns: labels of figures.
        held_out: columns that are marked as such.
        shares: columns whose figures are shares in [0, 1].
        units: of columns that are no shares (bytes, weights).
        emphasis: the row that is printed bold.
        notes: by row and column, what is said after a figure.
    """
    cells = {
        column: _cells(rows, column, column in shares, (units or {}).get(column, ""), notes or {}) for column in columns
    }
    widths = {column: max(len(_heading(column, held_out)), *map(len, cells[column])) for column in columns}
    first = max((len(name) for name, _ in rows), default=0)
    for block in _blocks(columns, widths, width - first - _GAP):
        made = table("", *(_heading(column, held_out) for column in block))
        for place, (name, _) in enumerate(rows):
            style = HEAD if name == emphasis else ""
            made.add_row(Text(name, style=style or QUIET), *(Text(cells[c][place], style=style) for c in block))
        yield made


def _heading(column: str, held_out: Collection[str]) -> str:
    return f"{column} (held out)" if column in held_out else column


def _cells(rows: Sequence[Row], column: str, share: bool, unit: str, notes: Mapping[tuple[str, str], str]) -> list[str]:
    return [
        figure(figures[column], share, unit) + notes.get((name, column), "") if column in figures else "-"
        for name, figures in rows
    ]


def _blocks(columns: Sequence[str], widths: Mapping[str, int], room: int) -> Iterator[list[str]]:
    block: list[str] = []
    used = 0
    for column in columns:
        if block and used + widths[column] > room:
            yield block
            block, used = [], 0
        block.append(column)
        used += widths[column] + _GAP
    if block:
        yield block
