"""The history of a search that estimates: estimates with their intervals, and the best of the honest scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..search.fitness_report import is_elite, predictions
from ..search.search_items import SearchItems
from .figure_style import BLUE, GREY, ORANGE, STYLE, axis_title, calm, error_bars

if TYPE_CHECKING:
    from ..search.study import Study

SHOWN = 0.68
"""The level of the intervals that are drawn: about a standard error to both sides."""


def draw_estimated_history(panel: Axes, study: Study) -> None:
    """Draws what the optimizer was told of each candidate, with its interval; and the elites' scores on the items that
    they were asked after they had been chosen, with the best of those so far. The first objective must be estimated.
    """
    objective = study.spec.objectives[0]
    items = SearchItems(study.store, study.record.id)
    told = predictions(study.store.asks.all(study.record.id), 0, objective, items)
    shares = [task for task in study.spec.tasks if task in items.pool and task in study.spec.shares]
    numbers, estimates, chosen, honest = [], [], [], []
    for candidate in study.candidates:
        number, key = candidate.record.number, candidate.record.id
        if number is None or key not in told:
            continue
        numbers.append(number)
        estimates.append(told[key])
        fresh = items.unseen(key, objective.tasks)
        if fresh is not None and is_elite(candidate.record, items, shares):
            chosen.append(number)
            honest.append(fresh.mean)
    error_bars(panel, numbers, estimates, SHOWN, "o", GREY, f"estimate, with {SHOWN:.0%} interval")
    if honest:
        better = np.fmax if objective.direction == "maximize" else np.fmin
        reached = [*better.accumulate(honest), better.reduce(honest)]
        best: dict[str, Any] = {"color": BLUE, "lw": 1.6, "drawstyle": "steps-post", "label": "best of these so far"}
        mark: dict[str, Any] = {"color": ORANGE, "ms": 5.5, "mec": "white", "mew": 0.7, "zorder": 3}
        panel.plot(chosen, honest, "D", label="elite, on items that did not choose it", **mark)
        panel.plot([*chosen, numbers[-1]], reached, **best)
    panel.set_ylabel(axis_title(objective), **STYLE)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    calm(panel)
