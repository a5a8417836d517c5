"""The figure of a study's estimates: beside full scores, whether intervals hold, and how many items were asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..search.agreement import Agreement, Comparison
from ..search.fitness_report import FitnessReport
from .figure_style import BLACK, BLUE, GREY, STYLE, calm, error_bars, save

SHOWN = 0.9
"""The level of the intervals that are drawn."""
MOST_BARS = 8


def plot_fitness(report: FitnessReport, path: str | Path) -> Path:
    """Draws the report: estimates with 90% intervals over full scores, shares of full scores inside intervals of each
    level, and how many candidates were asked how many items. Where no candidate has both, only the last of these.

    Args:
        path: the suffix chooses the format: .png, .svg, .pdf.

    Raises:
        ConfigurationError: the format is unknown.
        StorageError: the file cannot be written.
    """
    compared = [agreement for agreement in report.agreements if agreement.known]
    figure = Figure(figsize=(11.4 if compared else 5.2, 4.3), layout="constrained")
    *others, asked = figure.subplots(1, 3 if compared else 1, squeeze=False)[0]
    if compared:
        _draw_scores(others[0], compared[0])
        _draw_calibration(others[1], compared[0])
    _draw_asked(asked, report)
    what = f"scores by {report.fitness.estimator}" if report.fitness else "every item asked"
    times = f", {report.speed_up:.1f} times fewer items asked" if report.fitness and report.speed_up else ""
    figure.suptitle(f"{report.study}: {what}{times}", fontsize=11, color=BLACK)
    return save(figure, Path(path))


def _draw_scores(panel: Axes, agreement: Agreement) -> None:
    others = [one for one in agreement.known if not one.elite]
    elites = [one for one in agreement.known if one.elite]
    _draw_points(panel, others, "o", GREY, "others, asked by --check")
    _draw_points(panel, elites, "D", BLUE, "elites, asked in the search")
    spans = [one.predicted.interval(True, SHOWN) for one in agreement.known]
    ends = [end for span in spans for end in span] + [one.full for one in agreement.known]
    low, high = min(ends), max(ends)
    panel.plot([low, high], [low, high], color=BLACK, lw=0.9, ls="--", zorder=1, label="equal")
    panel.set_aspect("equal", adjustable="datalim")
    panel.set_xlabel(f"{agreement.objective} on all items", **STYLE)
    panel.set_ylabel(f"estimate, with {SHOWN:.0%} interval", **STYLE)
    calm(panel)


def _draw_points(panel: Axes, shown: Sequence[Comparison], marker: str, color: str, label: str) -> None:
    if shown:
        error_bars(panel, [one.full for one in shown], [one.predicted for one in shown], SHOWN, marker, color, label)


def _draw_calibration(panel: Axes, agreement: Agreement) -> None:
    levels = np.linspace(0.05, 0.95, 19)
    panel.plot([0, 1], [0, 1], color=BLACK, lw=0.9, ls="--")
    panel.plot(levels, [agreement.inside(level) for level in levels], color=BLUE, lw=1.6)
    panel.plot(list(agreement.calibration), list(agreement.calibration.values()), "D", color=BLUE, ms=5.5, mec="white")
    panel.set_xlabel("level of the interval", **STYLE)
    panel.set_ylabel(f"share of {len(agreement.known)} full scores inside", **STYLE)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    calm(panel)
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1.04)


def _draw_asked(panel: Axes, report: FitnessReport) -> None:
    """A bar for each number of items, or a histogram where there are many."""
    counts = Counter(report.asked.values())
    if len(counts) > MOST_BARS:
        panel.hist(list(report.asked.values()), bins="auto", color=GREY)
    else:
        places = range(len(counts))
        bars = panel.bar(places, [counts[number] for number in sorted(counts)], color=GREY, width=0.7)
        panel.bar_label(bars, fontsize=9, color=BLACK, padding=2)
        panel.set_xticks(places, [str(number) for number in sorted(counts)])
    panel.set_xlabel(f"items asked in the race, of {report.items}", **STYLE)
    panel.set_ylabel("candidates", **STYLE)
    panel.yaxis.set_major_locator(MaxNLocator(integer=True))
    calm(panel)
    panel.grid(visible=False, axis="x")
