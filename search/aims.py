"""What estimated candidates race for: the objectives that are means of responses."""

from __future__ import annotations

from collections.abc import Collection

from ..core.errors import ConfigurationError
from ..core.fitness_spec import FULL
from ..core.study_spec import ObjectiveSpec, StudySpec
from ..fitness.panel import Aim


def estimated(spec: StudySpec, tasks: Collection[str]) -> list[ObjectiveSpec]:
    """The objectives that can be estimated from responses to some items: means of the figures of such of these tasks
    as are means of responses.
    """
    shares = spec.shares
    known = shares & set(tasks)
    return [
        objective
        for objective in spec.objectives
        if objective.label in shares and objective.tasks and set(objective.tasks) <= known
    ]


def aims_of(spec: StudySpec, tasks: Collection[str]) -> list[Aim]:
    """Those objectives, as candidates race for them.

    Args:
        tasks: that have search items.

    Raises:
        ConfigurationError: there is none.
    """
    found = [
        Aim(objective.tasks, 1 if objective.direction == "maximize" else -1) for objective in estimated(spec, tasks)
    ]
    if not found:
        raise ConfigurationError(
            "fitness: no objective is a share of right answers (such as `accuracy`), so there is nothing to estimate "
            f"from few items. Remove `fitness`, or write `fitness: {FULL}`"
        )
    return found
