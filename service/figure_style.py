"""How figures look, and how they are written: colours, calm axes, error bars, one legend below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..core import registry
from ..core.errors import ConfigurationError, StorageError
from ..core.estimate import Estimate
from ..core.study_spec import ObjectiveSpec

# Okabe and Ito (2008): told apart with any kind of colour vision; the markers differ in shape as well.
GREY, BLUE, ORANGE, RED, BLACK = "#8c8c8c", "#0072b2", "#e69f00", "#d55e00", "#222222"
DOTS_PER_INCH = 150
STYLE: dict[str, Any] = {"color": BLACK, "fontsize": 10}
_LETTERS_PER_INCH = 8  # of a legend's labels, in one line with their markers
_SCALES = {"bytes": (1e6, "MB"), "weights": (1e6, "million")}


def axis_title(objective: ObjectiveSpec) -> str:
    """Label, unit and direction."""
    unit = scale(objective)[1]
    better = "higher is better" if objective.direction == "maximize" else "lower is better"
    return f"{objective.label}{f' in {unit}' if unit else ''} ({better})"


def scale(objective: ObjectiveSpec) -> tuple[float, str]:
    """What values are divided by, and the unit they are then in; shares and plain numbers need none."""
    return _SCALES.get(registry.load("objectives", objective.name).unit, (1.0, ""))


def calm(panel: Axes) -> None:
    """Two spines, a pale grid, some air."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9, colors=BLACK)
    panel.grid(color="#dddddd", lw=0.6)
    panel.set_axisbelow(True)
    panel.margins(0.08)


def error_bars(
    panel: Axes, x: Sequence[float], shares: Sequence[Estimate], level: float, marker: str, color: str, label: str
) -> None:
    """Draws shares in [0, 1] with their intervals of a level."""
    low, high = np.array([share.interval(share=True, confidence=level) for share in shares]).reshape(-1, 2).T
    means = np.array([share.mean for share in shares])
    panel.errorbar(
        x,
        means,
        # Wilson's interval of a score at the edge may not reach the score itself
        yerr=[np.maximum(means - low, 0), np.maximum(high - means, 0)],
        fmt=marker,
        color=color,
        ms=5,
        mec="white",
        mew=0.6,
        elinewidth=0.9,
        alpha=0.8,
        label=label,
    )


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure; the legend below is that of its first axes.

    Raises:
        ConfigurationError: the format is unknown.
        StorageError: the file cannot be written.
    """
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        fits = sum(map(len, labels)) <= _LETTERS_PER_INCH * figure.get_figwidth()
        columns = len(labels) if fits else 2
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    FigureCanvasAgg(figure)
    if path.suffix.removeprefix(".") not in figure.canvas.get_supported_filetypes():
        raise ConfigurationError(f"{path}: figures are written as .png, .svg or .pdf, not {path.suffix or 'that'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DOTS_PER_INCH)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    return path
