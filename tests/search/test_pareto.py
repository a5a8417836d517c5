"""Pareto sets and hypervolume, first on cases one can check by hand, then against brute force."""

import itertools
import math

import numpy as np
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.search.pareto import hypervolume, non_dominated, reference_point
from hypothesis import given, settings
from hypothesis import strategies as st

UP, DOWN = "maximize", "minimize"

directions_of = st.lists(st.sampled_from([UP, DOWN]), min_size=1, max_size=3)


def points_of(size):
    whole = st.tuples(*[st.integers(-3, 3)] * size)
    return st.lists(st.one_of(whole, st.none()), max_size=12)


cases = directions_of.flatmap(lambda directions: st.tuples(st.just(directions), points_of(len(directions))))


def dominates(one, other, directions):
    gains = [(a - b) if way == UP else (b - a) for a, b, way in zip(one, other, directions, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


def test_accuracy_against_size():
    values = [(0.9, 8.0), (0.8, 4.0), (0.7, 5.0), None, (0.8, 4.0), (0.95, math.inf), (math.nan, 1.0)]
    assert non_dominated(values, (UP, DOWN)) == [0, 1, 4]


def test_area_of_two_steps():
    assert hypervolume([(0.9, 8.0), (0.8, 4.0), None], (UP, DOWN), (0.5, 10.0)) == pytest.approx(0.4 * 2 + 0.3 * 4)


def test_beyond_the_reference_nothing_counts():
    assert hypervolume([(0.4, 1.0), (0.6, 10.0)], (UP, DOWN), (0.5, 10.0)) == 0.0
    assert hypervolume([], (UP,), (0.5,)) == 0.0
    assert hypervolume([None], (UP, DOWN), (0.5, 1.0)) == 0.0
    assert non_dominated([None, None], (UP, DOWN)) == []


def test_the_reference_point_lies_a_tenth_beyond_the_worst():
    assert reference_point([(0.9, 8.0), (0.8, 4.0), None], (UP, DOWN)) == pytest.approx((0.79, 8.4))
    assert reference_point([(0.5,)], (DOWN,)) == pytest.approx((0.6,))


def test_wrong_lengths_are_refused():
    for call in (
        lambda: non_dominated([(1.0,)], (UP, DOWN)),
        lambda: hypervolume([(1.0, 2.0)], (UP, DOWN), (1.0,)),
        lambda: hypervolume([(1.0, 2.0)], (UP, DOWN), (1.0, math.inf)),
        lambda: reference_point([None], (UP,)),
    ):
        with pytest.raises(ConfigurationError):
            call()


@settings(max_examples=150, deadline=None)
@given(cases)
def test_the_non_dominated_are_those_that_brute_force_finds(case):
    directions, values = case
    wanted = [
        place
        for place, point in enumerate(values)
        if point is not None and not any(other and dominates(other, point, directions) for other in values)
    ]
    assert non_dominated(values, directions) == wanted


@settings(max_examples=150, deadline=None)
@given(cases)
def test_the_hypervolume_is_the_number_of_unit_cells_dominated(case):
    directions, values = case
    signs = np.array([-1 if way == UP else 1 for way in directions])
    reference = tuple(int(3 * sign) for sign in signs)
    minimised = [np.array(point) * signs for point in values if point is not None]
    cells = itertools.product(range(-3, 3), repeat=len(directions))
    covered = sum(any(np.all(point <= cell) for point in minimised) for cell in cells)
    assert hypervolume(values, directions, reference) == pytest.approx(covered)


@settings(max_examples=60, deadline=None)
@given(cases)
def test_only_the_non_dominated_count(case):
    directions, values = case
    if not any(values):
        return
    reference = reference_point(values, directions)
    front = [values[place] for place in non_dominated(values, directions)]
    whole = hypervolume(values, directions, reference)
    assert whole > 0
    assert hypervolume(front, directions, reference) == pytest.approx(whole)
