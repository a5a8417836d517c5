"""Ties: results that differ by less than their errors are told to an optimizer as equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...core.contracts import Direction, Told

WITHIN = 0.5
"""How many independent standard errors of a difference make a tie. Candidates of one race answer common items, where
similar ones mostly agree: their difference is about twice as sure as that of two independent estimates."""


def tied(results: Sequence[Told], directions: Sequence[Direction]) -> list[Told]:
    """The results, where those that cannot be told apart have equal values, objective by objective.

    The best one and all within its error are one group, which gets the group's mean; so is the best of the rest, and so
    on. Groups keep their order. Values without an error, and failures, stay as they are.
    """
    told = list(results)
    for objective, direction in enumerate(directions):
        known = [place for place, one in enumerate(told) if one.values is not None and one.errors is not None]
        if not known:
            continue
        sign = 1.0 if direction == "maximize" else -1.0
        values = np.array([sign * _entry(told[place].values, objective) for place in known])
        errors = np.array([_entry(told[place].errors, objective) for place in known])
        for place, value in zip(known, sign * _grouped(values, np.nan_to_num(errors)), strict=True):
            one = told[place]
            assert one.values is not None
            told[place] = replace(one, values=(*one.values[:objective], float(value), *one.values[objective + 1 :]))
    return told


class LastingTies:
    """The same where results come one by one: those that cannot be told apart from an earlier one get its value.

    A group keeps the value and the error of its first member, and a result joins the nearest group that it is in reach
    of. So neither do values drift as results arrive, nor does an optimizer see differences that are mere noise.
    """

    def __init__(self, directions: Sequence[Direction]) -> None:
        self._firsts: list[list[tuple[float, float]]] = [[] for _ in directions]

    def joined(self, told: Told) -> Told:
        """The result with the values of the groups that it joins, objective by objective."""
        if told.values is None or told.errors is None:
            return told
        values = zip(told.values, np.nan_to_num(told.errors), self._firsts, strict=True)
        return replace(told, values=tuple(_joined(value, float(error), firsts) for value, error, firsts in values))


def _joined(value: float, error: float, firsts: list[tuple[float, float]]) -> float:
    near = [first for first, its in firsts if abs(value - first) < WITHIN * math.hypot(error, its)]
    if near:
        return min(near, key=lambda first: abs(value - first))
    firsts.append((value, error))
    return value


def _grouped(values: npt.NDArray[np.float64], errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    equal = values.copy()
    left = np.argsort(-values, kind="stable")
    while left.size:
        best = left[0]
        near = values[best] - values[left] < WITHIN * np.hypot(errors[best], errors[left])
        near[0] = True
        equal[left[near]] = values[left[near]].mean() if near.sum() > 1 else values[best]
        left = left[~near]
    return equal


def _entry(numbers: tuple[float, ...] | None, place: int) -> float:
    return math.nan if numbers is None else numbers[place]
