"""Pareto sets: which candidates no other one beats, and how much of the objective space they cover."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pymoo.indicators.hv import Hypervolume
from pymoo.util.nds.non_dominated_sorting import find_non_dominated

from ..core.contracts import Direction
from ..core.errors import ConfigurationError

Values: TypeAlias = Sequence[float] | None


def non_dominated(values: Sequence[Values], directions: Sequence[Direction]) -> list[int]:
    """The places, in ascending order, of the candidates that no other candidate dominates.

    A candidate dominates another if it is at least as good in every objective and better in one; equal candidates do
    not dominate each other.

    Args:
        values: for each candidate a value per objective; None, NaN or an infinite value means that it failed, and it
            is left out.
        directions: one per objective.

    Raises:
        ConfigurationError: a candidate does not have one value per objective.
    """
    places, points = _succeeded(values, directions)
    return [places[index] for index in sorted(find_non_dominated(points).tolist())]


def hypervolume(values: Sequence[Values], directions: Sequence[Direction], reference: Sequence[float]) -> float:
    """The volume that the candidates dominate, bounded by `reference` (Zitzler and Thiele, 1999).

    Args:
        values: as for `non_dominated`; candidates that are not better than `reference` in every objective add nothing.
        directions: one per objective.
        reference: a value per objective, in the objective's own direction: worse than what counts.

    Returns:
        A volume in the product of the objectives' units; 0 if there is no candidate.

    Raises:
        ConfigurationError: a candidate or `reference` does not have one (finite) value per objective.
    """
    _check_length(reference, directions)
    if not all(math.isfinite(value) for value in reference):
        raise ConfigurationError(f"the reference point {tuple(reference)} is not finite")
    _, points = _succeeded(values, directions)
    corner = _signs(directions) * np.array(reference, dtype=np.float64)
    inside = points[np.all(points < corner, axis=1)]
    if len(inside) == 0:
        return 0.0
    return float(Hypervolume(ref_point=corner)(inside))


def reference_point(
    values: Sequence[Values], directions: Sequence[Direction], margin: float = 0.1
) -> tuple[float, ...]:
    """A reference point for `hypervolume`: in each objective the worst value, and `margin` of the range beyond.

    To compare several studies, take it once, from the candidates of all of them.

    Raises:
        ConfigurationError: every candidate failed, or one does not have one value per objective.
    """
    _, points = _succeeded(values, directions)
    if len(points) == 0:
        raise ConfigurationError("no candidate succeeded, so there is no worst value to take a reference point from")
    best, worst = points.min(axis=0), points.max(axis=0)
    spread = np.where(worst > best, worst - best, 1.0)
    corner = _signs(directions) * (worst + margin * spread)
    return tuple(float(value) for value in corner)


def _succeeded(values: Sequence[Values], directions: Sequence[Direction]) -> tuple[list[int], npt.NDArray[np.float64]]:
    """The places and the values, to be minimised, shape (succeeded, objectives), of those that did not fail."""
    places: list[int] = []
    points: list[Sequence[float]] = []
    for place, point in enumerate(values):
        if point is None:
            continue
        _check_length(point, directions)
        if all(math.isfinite(value) for value in point):
            places.append(place)
            points.append(point)
    matrix = np.array(points, dtype=np.float64).reshape(len(points), len(directions))
    return places, matrix * _signs(directions)


def _signs(directions: Sequence[Direction]) -> npt.NDArray[np.float64]:
    return np.array([-1.0 if direction == "maximize" else 1.0 for direction in directions])


def _check_length(point: Sequence[float], directions: Sequence[Direction]) -> None:
    if len(point) != len(directions):
        raise ConfigurationError(f"{len(point)} values for {len(directions)} objectives: {tuple(point)}")
