"""Statistics: what means weighted by activations or gradients do that plain means do not."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes

from .style import FAINT, colours, merge

GENERATOR = torch.Generator().manual_seed(2)
OUT, IN, TRAINED, UNSEEN = 8, 32, 48, 4000


def regmean(axes: Axes) -> None:
    """Two layers whose inputs lie mostly in subspaces of their own; the error on inputs that no statistic has seen."""
    shapes = [torch.randn(IN, IN, generator=GENERATOR) * torch.linspace(1.5, 0.05, IN) for _ in range(2)]
    layers = [torch.randn(OUT, IN, generator=GENERATOR) for _ in range(2)]

    def inputs(count: int) -> list[torch.Tensor]:
        return [torch.randn(count, IN, generator=GENERATOR) @ shape.T for shape in shapes]

    seen, unseen = inputs(TRAINED), inputs(UNSEEN)
    grams = [part.T @ part / len(part) for part in seen]

    def error(merged: torch.Tensor, batches: list[torch.Tensor]) -> float:
        wrong = [((part @ (merged - layer).T) ** 2).mean() for part, layer in zip(batches, layers, strict=True)]
        return float(sum(wrong))

    alphas = np.linspace(0, 1, 41)
    merged = [merge("regmean", layers, statistics=grams, alpha=float(alpha)) for alpha in alphas]
    plain = error(merge("linear", layers, weight=1.0), unseen)
    shades = colours([0, 0.5, 1])
    axes.plot(alphas, [error(one, unseen) / plain for one in merged], color=shades[1], label="inputs never seen")
    axes.plot(alphas, [error(one, seen) / plain for one in merged], color=shades[0], label="inputs of the statistics")
    axes.axhline(1, color="#999999", linestyle="--", linewidth=1)
    axes.annotate("plain mean", (0.02, 1.02), color="#777777", fontsize=7)
    axes.set(xlabel="alpha", ylabel="squared error of outputs", xticks=[0, 0.5, 0.9, 1], ylim=(0, 1.15))
    axes.legend(loc="lower left")


def fisher(axes: Axes) -> None:
    shares = np.linspace(0, 1, 61)
    ratios = [0.05, 0.2, 1.0, 5.0, 20.0]
    ends = [torch.tensor([1.0]), torch.tensor([0.0])]
    for ratio, shade in zip(ratios, colours(list(range(5))), strict=True):
        information = [torch.tensor([ratio]), torch.tensor([1.0])]
        merged = [float(merge("fisher", ends, statistics=information, weight=(float(w), float(1 - w)))) for w in shares]
        axes.plot(shares, merged, color=shade, label=f"$F_1/F_2 = {ratio:g}$")
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1, zorder=0)
    axes.set(xlabel="weight of $x_1$ (of 1)", xticks=[0, 0.5, 1])
    axes.set_yticks([0, 1], labels=["$x_2$", "$x_1$"])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, columnspacing=1)


PANELS = {
    "regmean: alpha trusts correlations": regmean,
    "fisher: weight against information": fisher,
}
