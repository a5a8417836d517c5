"""Spectra: what becomes of the singular values of task matrices, and of each task's share in the merge."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes

from .style import FAINT, SOURCES, bar, colours, merge

SIZE, COUNT = 48, 3
GENERATOR = torch.Generator().manual_seed(3)


def _turn() -> torch.Tensor:
    turn: torch.Tensor = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=GENERATOR, dtype=torch.float64)).Q
    return turn


def _tasks() -> list[torch.Tensor]:
    """Task matrices whose singular values fall off, with a part that they share; the third is the weakest."""
    common = _turn(), _turn()
    decay = torch.exp(-torch.arange(SIZE, dtype=torch.float64) / 6)
    shared = 2 * common[0][:, :6] @ common[1][:6]
    own = [_turn() * decay @ _turn() for _ in range(COUNT)]
    return [strength * (shared + 4 * part) for strength, part in zip((1.0, 0.7, 0.3), own, strict=True)]


TASKS = _tasks()
ZERO = torch.zeros_like(TASKS[0])


def _spectrum(axes: Axes, merged: torch.Tensor, **style: Any) -> None:
    axes.plot(range(1, SIZE + 1), torch.linalg.svdvals(merged), **style)


def _frame(axes: Axes) -> None:
    _spectrum(axes, merge("task_arithmetic", TASKS, ZERO, weight=1.0), color="#999999", linestyle="--", label="sum")
    axes.set(xlabel="singular value, by size", ylim=(0, None), xticks=[1, 16, 32, 48])
    axes.legend(loc="upper right")


def tsv(axes: Axes) -> None:
    fractions = [0.1, 0.325, 0.55, 0.775, 1.0]
    for fraction, shade in zip(fractions, colours(fractions), strict=True):
        _spectrum(axes, merge("tsv", TASKS, ZERO, weight=1.0, rank_fraction=fraction), color=shade)
    _frame(axes)
    bar(axes, "rank_fraction", 0.1, 1.0)


def iso_c(axes: Axes) -> None:
    factors = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
    for factor, shade in zip(factors, colours(factors), strict=True):
        scaled: dict[str, Any] = {"lambda": factor}
        _spectrum(axes, merge("iso_c", TASKS, ZERO, weight=1.0, **scaled), color=shade)
    _frame(axes)
    bar(axes, "lambda", 0.25, 1.5)


def iso_cts(axes: Axes) -> None:
    fractions = np.linspace(0, 1, 17)
    merged = [
        merge("iso_cts", TASKS, ZERO, weight=1.0, common_space_fraction=float(fraction)) for fraction in fractions
    ]
    for number, task in enumerate(TASKS):
        cosines = [float((task * change).sum() / task.norm() / change.norm()) for change in merged]
        axes.plot(fractions, cosines, color=SOURCES[number], label=f"task {number + 1}")
    axes.axvline(0.8, color=FAINT, linestyle=":", linewidth=1)
    axes.set(xlabel="common_space_fraction", ylabel="cosine of task and merge", xticks=[0, 0.4, 0.8])
    axes.set_ylim(0.3, 0.6)
    axes.annotate("paper", (0.79, 0.305), color="#777777", fontsize=7, ha="right")
    axes.legend(loc="upper left")


PANELS = {
    "tsv: rank_fraction cuts every task's tail": tsv,
    "iso_c: all equal; lambda is how large": iso_c,
    "iso_cts: common or each task's own": iso_cts,
}
