"""What came of a study: winner and references on items that no selection has seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from ..core.estimate import CONFIDENCE, Estimate
from .console import BAD, GOOD, HEAD
from .figure_table import figure_tables

if TYPE_CHECKING:
    from ..search.report import Report
    from ..search.study import Study


def lines(report: Report, width: int) -> Iterator[RenderableType]:
    """The report, ready to be printed: a heading, the table in blocks, a verdict."""
    yield Text.assemble(("Test items", HEAD), f", which no selection has seen; {CONFIDENCE:.0%} intervals")
    yield ""
    rows = [(row.name, row.figures) for row in report.rows]
    for block in figure_tables(
        rows, _distinct(report), width, report.held_out, report.shares, emphasis=report.winner.name
    ):
        yield block
        yield ""
    yield _verdict(report)


def as_json(study: Study) -> dict[str, Any]:
    """Winner and report, JSON-ready; `report` is null if nothing was measured on test items."""
    best = study.best()
    report = study.report()
    shares = study.spec.shares
    content: dict[str, Any] = {
        "study": study.spec.name,
        "winner": {
            "number": best.record.number,
            "genome": dict(best.genome or {}),
            "recipe": best.recipe.to_dict(),
            "measurements": {stage: figures_json(figures, shares) for stage, figures in best.measurements.items()},
        },
        "report": None,
    }
    if report is not None:
        content["report"] = {
            "columns": report.columns,
            "held_out": report.held_out,
            "rows": [{"name": row.name, "figures": figures_json(row.figures, report.shares)} for row in report.rows],
            "clear_of_references": report.clear_of_references(),
        }
    return content


def figures_json(figures: Mapping[str, Estimate], shares: Collection[str]) -> dict[str, Any]:
    """Figures with their 95% intervals, JSON-ready; `shares` names those that are shares in [0, 1]."""
    content = {}
    for label, estimate in figures.items():
        low, high = estimate.interval(label in shares)
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


def _verdict(report: Report) -> Text:
    best = report.best_reference.name
    if report.clear_of_references():
        return Text(f"The winner's interval is clear of the best reference's ({best}).", style=GOOD)
    if report.clearly_worse():
        return Text(f"The winner is worse than the best reference ({best}): their intervals are apart.", style=BAD)
    return Text(f"The winner's interval overlaps the best reference's ({best}); more test items narrow both.")
