"""Choosing: methods that decide for each element whose change it takes."""

from __future__ import annotations

import numpy as np
import torch
from heterosis.plugins.merge.arcee_fusion import importance
from matplotlib.axes import Axes

from .style import FAINT, SOURCES, bar, colours, merge
from .thinning import PAIR, show


def nearswap(axes: Axes) -> None:
    difference = torch.linspace(-0.02, 0.02, 401)
    axes.plot(difference, difference, color=FAINT, linestyle="--", linewidth=1)
    values = [0.0, 0.0025, 0.005, 0.0075, 0.01]
    for t, shade in zip(values, colours(values), strict=True):
        axes.plot(difference, merge("nearswap", [difference], torch.zeros(401), t=t), color=shade)
    axes.set(xlabel="source - base", ylabel="merged - base", xticks=[-0.02, 0, 0.02], yticks=[-0.01, 0, 0.01])
    axes.set_ylim(-0.0125, 0.0125)
    bar(axes, "t", 0.0, 0.01)


def arcee_fusion(axes: Axes) -> None:
    generator = torch.Generator().manual_seed(5)
    base = torch.randn(60, 24, generator=generator)
    source = base + torch.logspace(-1.6, 0.2, 60).unsqueeze(1) * torch.randn(60, 24, generator=generator)
    chosen = merge("arcee_fusion", [source], base) == source
    change = (source - base).abs()
    divergence = importance(base, source) / change
    for where, colour, label in ((~chosen, FAINT, "the base's"), (chosen, SOURCES[0], "the source's")):
        axes.scatter(divergence[where], change[where], s=5, color=colour, label=label, linewidths=0)
    axes.set(xscale="log", yscale="log", xlabel="divergence of the row", ylabel="|source - base|")
    axes.set_xlim(1e-4, 5)
    axes.set_ylim(1e-3, 6)
    axes.legend(loc="lower right", handletextpad=0.1, markerscale=2)


def sce(axes: Axes) -> None:
    merged = merge("sce", list(PAIR), torch.zeros(PAIR.shape[1]), select_topk=0.4)
    alone = torch.stack([(merged - change).abs() < 1e-5 for change in PAIR])
    both = ~alone.any(0) & (merged != 0)
    show(axes, PAIR, alone | both)


def ram(axes: Axes) -> None:
    merged = merge("ram", list(PAIR), torch.zeros(PAIR.shape[1]), epsilon=0.8)
    alone = torch.stack([(merged - change).abs() < 1e-5 for change in PAIR])
    both = ~alone.any(0) & (merged != 0)
    show(axes, PAIR, alone | both)


def ramplus(axes: Axes) -> None:
    """Ten elements that both change and ten that only the first does: s / u is 1."""
    first, second = torch.ones(20), torch.cat([torch.ones(10), torch.zeros(10)])
    strengths = np.linspace(0, 1, 41)
    limits = [0.0, 0.25, 0.5, 0.75, 1.0]
    for alpha, shade in zip(limits, colours(limits), strict=True):
        factors = [
            float(merge("ramplus_tl", [first, second], torch.zeros(20), r=float(r), alpha=alpha)[-1]) for r in strengths
        ]
        axes.plot(strengths, factors, color=shade)
    axes.set(xlabel="r", ylabel="factor of changes made alone", xticks=[0, 0.5, 1], yticks=[1, 1.5, 2])
    bar(axes, "alpha", 0.0, 1.0)


PANELS = {
    "nearswap: t is how far it moves": nearswap,
    "arcee_fusion: what matters most, no gene": arcee_fusion,
    "sce: select_topk 0.4, most variance": sce,
    "ram: epsilon 0.8, smaller is no change": ram,
    "ramplus_tl: r and alpha lift what is alone": ramplus,
}
