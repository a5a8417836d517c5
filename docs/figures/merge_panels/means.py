"""Means and paths: models as points in a plane (tensors of two elements); where the merge goes as the gene grows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes

from .style import BASE, FAINT, SOURCES, bar, colours, merge


def at(degrees: float, length: float = 1.0) -> torch.Tensor:
    return length * torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])


def xy(model: torch.Tensor) -> tuple[float, float]:
    return float(model[0]), float(model[1])


def path(
    axes: Axes,
    merged: Callable[[float], torch.Tensor],
    values: Sequence[float],
    label: str,
    marks: Sequence[float] = (),
) -> None:
    """The merged model for each value of the gene, in its colours; larger dots at `marks`."""
    points = np.array([xy(merged(float(value))) for value in values])
    axes.scatter(points[:, 0], points[:, 1], c=colours(values), s=9, zorder=3, linewidths=0)
    if marks:
        dots = np.array([xy(merged(value)) for value in marks])
        shades = colours([min(values), *marks, max(values)])[1:-1]
        axes.scatter(dots[:, 0], dots[:, 1], c=shades, s=42, zorder=4, edgecolors="white", linewidths=0.8)
    bar(axes, label, min(values), max(values))


def plane(axes: Axes, models: dict[str, tuple[torch.Tensor, str]], arrows_from: torch.Tensor | None = None) -> None:
    """Models as labelled points, with an arrow to each from the origin or the base."""
    start = torch.zeros(2) if arrows_from is None else arrows_from
    for name, (place, colour) in models.items():
        if not torch.equal(place, start):
            axes.annotate(
                "",
                xy(place),
                xy(start),
                arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.45, "linewidth": 1.0},
            )
        axes.plot(*xy(place), "o", color=colour, markersize=6, zorder=5)
        outwards = (place - start) / max(float((place - start).norm()), 1e-9)
        shift = 9 * outwards if float(outwards.norm()) else torch.tensor([-9.0, -7.0])
        axes.annotate(
            name, xy(place), xy(shift), textcoords="offset points", color=colour, ha="center", va="center", fontsize=8
        )
    if arrows_from is None:
        axes.plot(0, 0, "+", color="#999999", markersize=7)
    axes.set_aspect("equal", "datalim")
    axes.margins(0.2)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


ONE, TWO, THREE = at(75, 1.0), at(10, 1.25), at(40, 0.45)
STEPS = np.linspace(0, 1, 81).tolist()
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def chord(axes: Axes, one: torch.Tensor, two: torch.Tensor) -> None:
    axes.plot(*torch.stack([one, two]).T.tolist(), color=FAINT, linestyle="--", linewidth=1)


def linear(axes: Axes) -> None:
    models = [ONE, TWO, THREE]
    axes.fill(*torch.stack(models).T.tolist(), color="#f1f1f1")
    plane(axes, {f"$x_{i + 1}$": (model, SOURCES[i]) for i, model in enumerate(models)})
    path(axes, lambda w: merge("linear", models, weight=(w, 0.3, 0.3)), STEPS, "weight of $x_1$", QUARTERS)


def task_arithmetic(axes: Axes) -> None:
    base, sources = torch.tensor([0.1, 0.1]), [torch.tensor([0.25, 0.9]), torch.tensor([1.1, 0.35])]
    models = {"base": (base, BASE), "$x_1$": (sources[0], SOURCES[0]), "$x_2$": (sources[1], SOURCES[1])}
    plane(axes, models, arrows_from=base)
    values = np.linspace(0, 1.5, 91).tolist()
    path(
        axes,
        lambda w: merge("task_arithmetic", sources, base, weight=(w, 1.0)),
        values,
        "weight of $x_1$ ($x_2$ has 1)",
        (0.0, 0.5, 1.0, 1.5),
    )


def slerp(axes: Axes) -> None:
    chord(axes, ONE, TWO)
    plane(axes, {"base": (ONE, BASE), "$x_1$": (TWO, SOURCES[0])})
    path(axes, lambda t: merge("slerp", [TWO], ONE, t=t), STEPS, "t", QUARTERS)


def nuslerp(axes: Axes) -> None:
    base = torch.tensor([0.55, 0.25])
    sources = [base + at(115, 0.8), base + at(5, 0.65)]
    chord(axes, *sources)
    models = {"base": (base, BASE), "$x_1$": (sources[0], SOURCES[0]), "$x_2$": (sources[1], SOURCES[1])}
    plane(axes, models, arrows_from=base)
    path(axes, lambda w: merge("nuslerp", sources, base, weight=(1 - w, w)), STEPS, "weight of $x_2$ (of 1)", QUARTERS)


def multislerp(axes: Axes) -> None:
    models = [ONE, TWO, at(40, 0.8)]
    linear_path = torch.stack([merge("linear", models, weight=(w, 0.3, 0.3)) for w in STEPS])
    axes.plot(*linear_path.T.tolist(), color=FAINT, linestyle="--", linewidth=1)
    plane(axes, {f"$x_{i + 1}$": (model, SOURCES[i]) for i, model in enumerate(models)})
    path(axes, lambda w: merge("multislerp", models, weight=(w, 0.3, 0.3)), STEPS, "weight of $x_1$", QUARTERS)


def karcher(axes: Axes) -> None:
    models = [at(0), at(20), at(165)]
    circle = torch.stack([at(degrees) for degrees in range(-8, 174)])
    axes.plot(*circle.T.tolist(), color=FAINT, linewidth=1)
    plane(axes, {f"$x_{i + 1}$": (model, SOURCES[i]) for i, model in enumerate(models)})
    for steps, shade in zip((0, 10), colours([0, 0.6, 1])[:2], strict=True):
        merged = merge("karcher", models, max_iter=steps)
        axes.plot(*xy(merged), "o", color=shade, markersize=7, markeredgecolor="white")
        label = "normalised mean\n(0 steps)" if steps == 0 else "mean angle\n(10 steps)"
        axes.annotate(label, xy(merged), (11 if steps == 0 else 0, 17 if steps else 13), color=shade,
                      textcoords="offset points", ha="center", va="center", fontsize=7)  # fmt: skip


def model_stock(axes: Axes) -> None:
    degrees = np.linspace(0, 90, 91)
    for count, shade in zip((2, 3, 6), colours([0, 0.5, 1]), strict=True):
        shares = []
        for cosine in np.cos(np.radians(degrees)):
            gram = torch.full((count, count), float(cosine), dtype=torch.float64).fill_diagonal_(1)
            values, vectors = torch.linalg.eigh(gram)
            sources = list(vectors * values.clamp(min=0).sqrt())
            merged = merge("model_stock", sources, torch.zeros(count, dtype=torch.float64))
            mean = torch.stack(sources).mean(0)
            shares.append(float(merged @ mean / (mean @ mean)))
        axes.plot(degrees, shares, color=shade, label=f"{count} sources")
    axes.set_xlabel("angle between task vectors (degrees)")
    axes.set_ylabel("t: 0 is the base, 1 the mean")
    axes.set_xticks([0, 30, 60, 90])
    axes.legend(loc="lower left")


def passthrough(axes: Axes) -> None:
    model = at(35, 1.0)
    plane(axes, {"": (model, SOURCES[0])})
    axes.annotate("$x_1$", xy(model), (-8, 8), textcoords="offset points", color=SOURCES[0], ha="center")
    values = np.linspace(0, 1.5, 91).tolist()
    path(axes, lambda scale: merge("passthrough", [model], scale=scale), values, "scale", (0.0, 0.5, 1.5))


PANELS = {
    "linear: weight moves the mean": linear,
    "task_arithmetic: weight stretches a task vector": task_arithmetic,
    "slerp: t walks the arc, not the chord": slerp,
    "nuslerp: the arc between two task vectors": nuslerp,
    "multislerp: directions and lengths averaged": multislerp,
    "karcher: max_iter steps to the mean angle": karcher,
    "model_stock: t from the angle, no gene": model_stock,
    "passthrough: scale, one model": passthrough,
}
