"""What came of a study: winner and references on items that no selection has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from ..core.contracts import Direction
from ..core.estimate import Estimate
from .console import BAD, GOOD, HEAD
from .figure_table import figure_tables
from .formats import CONFIDENCE, are_shares, interval

if TYPE_CHECKING:
    from ..search.report import Report, Row
    from ..search.study import Study


def lines(report: Report, direction: Direction, width: int) -> Iterator[RenderableType]:
    """The report, ready to be printed: a heading, the table in blocks, a verdict."""
    yield Text.assemble(("Test items", HEAD), f", which no selection has seen; {CONFIDENCE:.0%} intervals")
    yield ""
    rows = [(row.name, row.figures) for row in report.rows]
    for block in figure_tables(rows, _distinct(report), width, report.held_out, emphasis=report.winner.name):
        yield block
        yield ""
    yield _verdict(report, direction)


def clear(report: Report, direction: Direction) -> bool:
    """Whether the winner's interval of the first column is better than the best reference's, without overlap."""
    low, high = _interval(report, report.winner)
    best_low, best_high = _interval(report, best_reference(report, direction))
    return low > best_high if direction == "maximize" else high < best_low


def best_reference(report: Report, direction: Direction) -> Row:
    """The reference with the best figure in the first column."""
    sign = 1 if direction == "maximize" else -1
    return max(report.rows[:-1], key=lambda row: sign * row.figures[report.columns[0]].mean)


def as_json(study: Study) -> dict[str, Any]:
    """Winner and report, JSON-ready; `report` is null if nothing was measured on test items."""
    best = study.best()
    report = study.report()
    content: dict[str, Any] = {
        "study": study.spec.name,
        "winner": {
            "number": best.record.number,
            "genome": dict(best.genome or {}),
            "recipe": best.recipe.to_dict(),
            "measurements": {stage: figures_json(figures) for stage, figures in best.measurements.items()},
        },
        "report": None,
    }
    if report is not None:
        direction = study.spec.objectives[0].direction
        content["report"] = {
            "columns": report.columns,
            "held_out": report.held_out,
            "rows": [{"name": row.name, "figures": figures_json(row.figures)} for row in report.rows],
            "clear_of_references": clear(report, direction),
        }
    return content


def figures_json(figures: Mapping[str, Estimate]) -> dict[str, Any]:
    """Figures with their 95% intervals, JSON-ready."""
    content = {}
    for label, estimate in figures.items():
        low, high = interval(estimate, are_shares([estimate]))
        content[label] = {
            "mean": estimate.mean,
            "standard_error": estimate.standard_error,
            "low": low,
            "high": high,
            "items": estimate.items,
        }
    return content


def _distinct(report: Report) -> Sequence[str]:
    """The columns, without the task of an objective that has only one: their figures are the same."""
    first, *tasks = report.columns
    repeated = [task for task in tasks if all(row.figures[task] == row.figures[first] for row in report.rows)]
    return [first, *(task for task in tasks if task in report.held_out or task not in repeated)]


def _interval(report: Report, row: Row) -> tuple[float, float]:
    column = report.columns[0]
    return interval(row.figures[column], are_shares(other.figures[column] for other in report.rows))


def _verdict(report: Report, direction: Direction) -> Text:
    best = best_reference(report, direction)
    if clear(report, direction):
        return Text(f"The winner's interval is clear of the best reference's ({best.name}).", style=GOOD)
    (low, high), (best_low, best_high) = _interval(report, report.winner), _interval(report, best)
    if low > best_high or high < best_low:
        return Text(f"The winner is worse than the best reference ({best.name}): their intervals are apart.", style=BAD)
    return Text(f"The winner's interval overlaps the best reference's ({best.name}); more test items narrow both.")
