"""Ranking candidates: by an objective, and against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..core.estimate import Estimate
from ..core.stage import Stage
from ..core.study_spec import ObjectiveSpec
from ..storage import CandidateRecord
from .pareto import non_dominated


def values_of(
    candidate: CandidateRecord, objectives: Sequence[ObjectiveSpec], stage: Stage = "search"
) -> tuple[float, ...] | None:
    """The candidate's value of each objective at a stage, or None if it failed or has not been there."""
    measured = candidate.measurements.get(stage, {})
    if not all(objective.label in measured for objective in objectives):
        return None
    return tuple(measured[objective.label].mean for objective in objectives)


def ranked(
    candidates: Sequence[CandidateRecord], objective: ObjectiveSpec, stage: Stage = "search", cautious: bool = False
) -> list[CandidateRecord]:
    """Those that succeeded, best first; of equals, the one proposed first.

    Args:
        cautious: whether each counts as one standard error worse than it was measured. Where some were asked few items
            and others many, the largest mean is mostly luck.
    """
    measured = [
        (badness(candidate.measurements[stage][objective.label], objective, cautious), place, candidate)
        for place, candidate in enumerate(candidates)
        if values_of(candidate, [objective], stage) is not None
    ]
    return [candidate for _, _, candidate in sorted(measured, key=lambda entry: entry[:2])]


def badness(figure: Estimate, objective: ObjectiveSpec, cautious: bool) -> float:
    """What candidates are ranked by, the smaller the better; see `ranked`."""
    sign = -1.0 if objective.direction == "maximize" else 1.0
    error = figure.standard_error if cautious else 0.0
    return sign * figure.mean + (math.inf if math.isnan(error) else error)


def front_of(candidates: Sequence[CandidateRecord], objectives: Sequence[ObjectiveSpec]) -> list[CandidateRecord]:
    """The candidates that no other dominates on the search items, best first by the first objective."""
    values = [values_of(candidate, objectives) for candidate in candidates]
    directions = [objective.direction for objective in objectives]
    return ranked([candidates[place] for place in non_dominated(values, directions)], objectives[0])
