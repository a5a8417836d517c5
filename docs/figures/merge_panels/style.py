"""How the panels look, and how they ask a method for a merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from heterosis.core import registry
from heterosis.core.contracts import MergeParameters
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize

SOURCES = ("#4477aa", "#ee6677", "#228833")  # Tol's bright scheme
BOTH = "#aa3377"
BASE = "#333333"
FAINT = "#c8c8c8"
GENE: Colormap = LinearSegmentedColormap.from_list("gene", colormaps["viridis"](np.linspace(0.02, 0.92, 64)))

SETTINGS: Any = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titlepad": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.labelcolor": "#444444",
    "xtick.color": "#777777",
    "ytick.color": "#777777",
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.6,
}


def merge(
    name: str,
    sources: Sequence[torch.Tensor],
    base: torch.Tensor | None = None,
    seed: int = 0,
    statistics: Sequence[torch.Tensor] = (),
    **values: Any,
) -> torch.Tensor:
    """Merges with an installed method; one value of a parameter may stand for all sources, a default for none."""
    method = registry.load("merge_methods", name)
    own: dict[str, tuple[float, ...]] = {}
    shared: dict[str, float | bool] = {}
    for spec in method.parameters:
        value = values.pop(spec.name, spec.default)
        if spec.scope == "shared":
            shared[spec.name] = value
        else:
            own[spec.name] = tuple(value) if isinstance(value, Sequence) else (value,) * len(sources)
    assert not values, f"{name} has no {sorted(values)}"
    result: torch.Tensor = method().merge(
        base, list(sources), MergeParameters(own, shared, seed, statistics=tuple(statistics))
    )
    return result


def titled(axes: Axes, title: str) -> None:
    """A method's name in bold over what the panel shows."""
    name, _, rest = title.partition(": ")
    axes.set_title(f"$\\bf{{{name.replace('_', chr(92) + '_')}}}$\n{rest}", loc="left", linespacing=1.35)


def bar(axes: Axes, label: str, low: float, high: float) -> None:
    """A scale of the gene's colours."""
    scale = axes.figure.colorbar(
        ScalarMappable(Normalize(low, high), GENE),
        ax=axes,
        orientation="horizontal",
        fraction=0.05,
        pad=0.03,
        aspect=28,
    )
    scale.set_label(label, labelpad=1)
    scale.outline.set_visible(False)
    ticks = (low, (low + high) / 2, high)
    scale.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    scale.ax.tick_params(length=0, pad=2)


def colours(values: Sequence[float]) -> Any:
    """The gene's colours for values from the lowest to the highest."""
    return GENE(Normalize(min(values), max(values))(np.asarray(values)))
