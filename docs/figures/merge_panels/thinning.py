"""Thinned task vectors: which elements stay as the density grows, and which sources count once a sign is elected."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from .style import BOTH, FAINT, GENE, SOURCES, merge

ELEMENTS = 150
GENERATOR = torch.Generator().manual_seed(7)
CHANGE = (
    torch.randn(ELEMENTS, generator=GENERATOR).abs().sort().values * torch.randn(ELEMENTS, generator=GENERATOR).sign()
)
PAIR = torch.randn(2, 700, generator=GENERATOR)


def kept(axes: Axes, name: str, **values: Any) -> None:
    """A row for each density: the elements that stay, in the colour of the factor with which they count."""
    densities = np.linspace(0.02, 1, 50)
    rows = []
    for density in densities:
        merged = merge(name, [CHANGE], torch.zeros(ELEMENTS), weight=1.0, density=float(density), seed=3, **values)
        rows.append((merged / CHANGE).tolist())
    factors = np.ma.masked_equal(np.array(rows), 0)
    image = axes.imshow(
        factors, origin="lower", aspect="auto", extent=(0, ELEMENTS, 0, 1), cmap=GENE.reversed(), vmin=1, vmax=3,
        interpolation="nearest",
    )  # fmt: skip
    axes.set_facecolor("#f4f4f4")
    axes.set_xlabel("elements, small to large magnitude")
    axes.set_ylabel("density")
    axes.set_xticks([])
    scale = axes.figure.colorbar(image, ax=axes, orientation="horizontal", fraction=0.05, pad=0.03, aspect=28)
    scale.set_ticks([1, 2, 3], labels=["1", "2", "≥ 3"])
    scale.set_label("factor of what stays", labelpad=1)
    scale.outline.set_visible(False)
    scale.ax.tick_params(length=0, pad=2)


def counted(axes: Axes, name: str, **values: Any) -> None:
    """Elements by their changes in two sources, in the colours of the sources that count there."""
    base = torch.zeros(PAIR.shape[1])
    # What is added when a source's weight grows by a little, without moving thresholds or the elected sign.
    whole = merge(name, list(PAIR), base, weight=(1.0, 1.0), seed=3, normalize=False, **values)
    more = [
        merge(name, list(PAIR), base, weight=weights, seed=3, normalize=False, **values)
        for weights in ((1.0 + 1e-3, 1.0), (1.0, 1.0 + 1e-3))
    ]
    by = torch.stack([(other - whole).abs() > 1e-4 * change.abs() for other, change in zip(more, PAIR, strict=True)])
    show(axes, PAIR, by)


def show(axes: Axes, pair: torch.Tensor, by: torch.Tensor) -> None:
    """A scatter of elements; `by` says for each of the two sources where it counts, booleans (2, n)."""
    first, second = by
    groups = (
        ("neither", ~first & ~second, FAINT, 4),
        ("$x_1$", first & ~second, SOURCES[0], 7),
        ("$x_2$", second & ~first, SOURCES[1], 7),
        ("both", first & second, BOTH, 7),
    )
    axes.axhline(0, color="#dddddd", linewidth=0.8, zorder=0)
    axes.axvline(0, color="#dddddd", linewidth=0.8, zorder=0)
    for label, where, colour, size in groups:
        axes.scatter(pair[0, where], pair[1, where], s=size, color=colour, label=label, linewidths=0)
    axes.set_xlabel("change in $x_1$")
    axes.set_ylabel("change in $x_2$")
    axes.set_aspect("equal")
    axes.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), xticks=[], yticks=[])
    legend = axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, title="what counts", handletextpad=0.1, columnspacing=1
    )
    legend.get_title().set_fontsize(7)
    for handle in legend.legend_handles:
        assert isinstance(handle, PathCollection)
        handle.set_sizes([20])


PANELS = {
    "ties: density keeps the largest": partial(kept, name="ties", normalize=False),
    "dare_linear: density keeps at random": partial(kept, name="dare_linear"),
    "della_linear: the larger, the likelier": partial(kept, name="della_linear", epsilon=0.3),
    "breadcrumbs: the largest next to outliers": partial(kept, name="breadcrumbs", gamma=0.15),
    "ties : density 0.5, sign elected": partial(counted, name="ties", density=0.5),
    "dare_ties: density 0.5, sign elected": partial(counted, name="dare_ties", density=0.5, rescale=False),
    "della: density 0.5, sign elected": partial(counted, name="della", density=0.5, epsilon=0.4, rescale=False),
    "breadcrumbs_ties: density 0.5, gamma 0.1": partial(counted, name="breadcrumbs_ties", density=0.5, gamma=0.1),
}
