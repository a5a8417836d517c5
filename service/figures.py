"""Figures of a study: its front, and its history. Drawn with matplotlib, without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..core.errors import ConfigurationError
from ..core.study_spec import ObjectiveSpec
from ..search.aims import estimated
from ..search.candidate import Candidate
from ..search.pareto import hypervolume, reference_point
from ..search.ranking import values_of
from .estimated_history import draw_estimated_history
from .figure_style import BLACK, BLUE, GREY, ORANGE, RED, STYLE, axis_title, calm, save, scale

if TYPE_CHECKING:
    from ..search.study import Study

MOST_AXES = 4


def axes_of(study: Study) -> tuple[ObjectiveSpec, ...]:
    """What a figure of the front has axes for: at most four of objectives and watched ones.

    With one objective and several watched ones beside it, the watched ones: the objective is then usually their mean.
    What is the same for all candidates gets no axis, as long as two others remain.
    """
    objectives, watch = study.spec.objectives, study.spec.watch
    axes = watch if len(objectives) == 1 and len(watch) > 1 else (*objectives, *watch)
    values = [values_of(candidate.record, axes) for candidate in study.candidates]
    varied = [
        axis for axis, seen in zip(axes, zip(*filter(None, values), strict=True), strict=False) if len(set(seen)) > 1
    ]
    return tuple(varied if len(varied) > 1 else axes)[:MOST_AXES]


def plot_front(study: Study, path: str | Path) -> Path:
    """Draws all candidates, the front and the winner over each pair of axes; all values are from search items.

    Args:
        path: the suffix chooses the format: .png, .svg, .pdf.

    Raises:
        ConfigurationError: the study has a single objective and nothing to watch, no candidate has succeeded, or the
            format is unknown.
        StorageError: the file cannot be written.
    """
    axes = axes_of(study)
    if len(axes) < 2:
        raise ConfigurationError("a front needs two objectives, or one and something to `watch`; plot the history")
    pairs = list(combinations(range(len(axes)), 2))
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    width = 6.4 if len(pairs) == 1 else 3.7 * columns
    figure = Figure(figsize=(width, 4.8 if len(pairs) == 1 else 3.6 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    crowd, front = study.candidates, study.front()
    for panel, (x, y) in zip(panels, pairs, strict=False):
        _draw_front(panel, (axes[x], axes[y]), crowd, front, study.best(), step=len(study_values(study)) == 2)
    for panel in list(panels)[len(pairs) :]:
        panel.remove()
    figure.suptitle(f"{study.spec.name}: front of {_counted(crowd)}, on search items", fontsize=11, color=BLACK)
    return save(figure, Path(path))


def plot_history(study: Study, path: str | Path) -> Path:
    """Draws every candidate's first objective and the best so far over the candidate's number; failed ones are marked.

    Where scores are estimated, the best so far is that of the scores on items which did not choose the candidate.
    With several objectives, a second panel shows the hypervolume that the candidates so far dominate.

    Raises:
        ConfigurationError, StorageError: as `plot_front`.
    """
    crowd = study.candidates
    objectives = study.spec.objectives
    panels = 2 if len(objectives) > 1 else 1
    figure = Figure(figsize=(6.4, 3.8 if panels == 1 else 6.0), layout="constrained")
    upper, *lower = figure.subplots(panels, 1, squeeze=False, sharex=True)[:, 0]
    first_estimated = study.spec.fitness is not None and objectives[0] in estimated(study.spec, study.spec.tasks)
    if first_estimated:
        draw_estimated_history(upper, study)
    else:
        _draw_history(upper, crowd, objectives[0])
    _mark_failed(upper, crowd)
    for panel in lower:
        _draw_hypervolume(panel, crowd, objectives)
    figure.axes[-1].set_xlabel("candidate", **STYLE)
    on = "estimated from few search items" if first_estimated else "on search items"
    figure.suptitle(f"{study.spec.name}: {_counted(crowd)}, {on}", fontsize=11, color=BLACK)
    return save(figure, Path(path))


def study_values(study: Study) -> tuple[ObjectiveSpec, ...]:
    """All that the front is taken over."""
    return (*study.spec.objectives, *study.spec.watch)


def _draw_front(
    panel: Axes,
    axes: tuple[ObjectiveSpec, ObjectiveSpec],
    crowd: Sequence[Candidate],
    front: Sequence[Candidate],
    winner: Candidate,
    step: bool,
) -> None:
    dominated = [candidate for candidate in crowd if candidate.record.id not in {c.record.id for c in front}]
    panel.plot(*_points(dominated, axes), "o", color=GREY, alpha=0.55, ms=5, mew=0, label="dominated")
    x, y = _points(sorted(front, key=lambda c: values_of(c.record, axes) or ()), axes)
    if step:
        # Between two members of the front, what both can do is their worse value.
        place = "steps-post" if axes[0].direction == "minimize" else "steps-pre"
        panel.plot(x, y, color=BLUE, lw=1.2, drawstyle=place, zorder=2)
    panel.plot(x, y, "D", color=BLUE, ms=5.5, mec="white", mew=0.7, zorder=3, label="front")
    panel.plot(*_points([winner], axes), "o", color="none", ms=14, mec=ORANGE, mew=2.2, zorder=4, label="winner")
    for name, axis in zip("xy", axes, strict=True):
        getattr(panel, f"set_{name}label")(axis_title(axis), **STYLE)
    calm(panel)


def _draw_history(panel: Axes, crowd: Sequence[Candidate], objective: ObjectiveSpec) -> None:
    numbers, values = _series(crowd, objective)
    better = np.fmax if objective.direction == "maximize" else np.fmin
    panel.plot(numbers, values, "o", color=GREY, alpha=0.55, ms=5, mew=0, label="candidate")
    if len(values):
        panel.plot(numbers, better.accumulate(values), color=BLUE, lw=1.6, drawstyle="steps-post", label="best so far")
    panel.set_ylabel(axis_title(objective), **STYLE)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    calm(panel)


def _mark_failed(panel: Axes, crowd: Sequence[Candidate]) -> None:
    failed = [c.record.number for c in crowd if c.record.state == "failed" and c.record.number is not None]
    if failed:
        edge = panel.get_xaxis_transform()  # failed ones have no value: they are marked at the foot
        panel.plot(failed, [0.03] * len(failed), "x", color=RED, ms=6, mew=1.6, transform=edge, label="failed")


def _draw_hypervolume(panel: Axes, crowd: Sequence[Candidate], objectives: Sequence[ObjectiveSpec]) -> None:
    values = [values_of(candidate.record, objectives) for candidate in crowd]
    directions = [objective.direction for objective in objectives]
    reference = reference_point(values, directions)
    whole = hypervolume(values, directions, reference)
    shares = [hypervolume(values[:count], directions, reference) / whole for count in range(1, len(values) + 1)]
    panel.plot(range(len(shares)), shares, color=BLUE, lw=1.6, drawstyle="steps-post")
    panel.set_ylabel("hypervolume, share of the last", **STYLE)
    panel.set_ylim(0, 1.05)
    calm(panel)


def _series(crowd: Sequence[Candidate], objective: ObjectiveSpec) -> tuple[list[int], np.ndarray[Any, Any]]:
    unit = scale(objective)[0]
    known = [
        (candidate.record.number, values[0] / unit)
        for candidate in crowd
        if (values := values_of(candidate.record, [objective])) is not None and candidate.record.number is not None
    ]
    return [number for number, _ in known], np.array([value for _, value in known])


def _points(candidates: Sequence[Candidate], axes: Sequence[ObjectiveSpec]) -> tuple[list[float], ...]:
    """A list of values for each axis, of the candidates that have them all."""
    values = [point for candidate in candidates if (point := values_of(candidate.record, axes)) is not None]
    return tuple([point[place] / scale(axis)[0] for point in values] for place, axis in enumerate(axes))


def _counted(crowd: Sequence[Candidate]) -> str:
    failed = sum(candidate.record.state == "failed" for candidate in crowd)
    return f"{len(crowd)} candidates" + (f" ({failed} failed)" if failed else "")
