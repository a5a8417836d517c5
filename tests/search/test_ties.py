"""Results within their errors are ties for an optimizer."""

import math

import pytest
from heterosis.core.contracts import Told
from heterosis.core.genome import Genome
from heterosis.search.optimizers.ties import WITHIN, LastingTies, tied
from hypothesis import given
from hypothesis import strategies as st


def told(*pairs):
    return [Told(n, Genome({"x": float(n)}), (value,), (error,)) for n, (value, error) in enumerate(pairs)]


def values(results):
    return [one.values[0] for one in results]


def test_those_within_the_error_of_the_best_are_equal_and_the_rest_is_not():
    found = values(tied(told((0.70, 0.1), (0.68, 0.1), (0.50, 0.1)), ["maximize"]))
    assert found == [pytest.approx(0.69), pytest.approx(0.69), 0.50]


def test_near_ones_do_not_chain_into_one_tie():
    steps = [(0.9 - 0.05 * step, 0.1) for step in range(6)]
    found = values(tied(told(*steps), ["maximize"]))
    assert found[0] > found[2] > found[4]


def test_minimised_values_are_grouped_from_the_smallest():
    found = values(tied(told((1.0, 0.1), (1.05, 0.1), (1.1, 0.1)), ["minimize"]))
    assert found[0] == found[1] == pytest.approx(1.025)
    assert found[2] == 1.1


def test_exact_values_failures_and_values_without_errors_stay():
    genome = Genome({"x": 0.0})
    results = [
        Told(0, genome, (0.5, 3.0), (0.2, 0.0)),
        Told(1, genome, None),
        Told(2, genome, (0.45, 3.1), (0.2, 0.0)),
        Told(3, genome, (0.49, 9.0)),
        Told(4, genome, (0.48, 1.0), (math.nan, 0.0)),
    ]
    found = tied(results, ["maximize", "minimize"])
    assert found[1] == results[1]
    assert found[3] == results[3]
    assert [one.values[1] for one in found if one.values] == [3.0, 3.1, 9.0, 1.0]
    assert found[0].values[0] == found[2].values[0] == found[4].values[0]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.3)), min_size=1, max_size=12))
def test_groups_keep_their_order_and_their_mean(pairs):
    results = told(*pairs)
    found = values(tied(results, ["maximize"]))
    assert sum(found) == pytest.approx(sum(value for value, _ in pairs), abs=1e-9)
    best = max(value for value, _ in pairs)
    for value, (old, _) in zip(found, pairs, strict=True):
        assert abs(value - old) <= WITHIN * math.hypot(0.3, 0.3) + 1e-12
        assert value <= best + 1e-12


def one_by_one(*pairs, direction="maximize"):
    ties = LastingTies([direction])
    return values([ties.joined(one) for one in told(*pairs)])


def test_one_by_one_a_result_within_the_error_of_an_earlier_one_gets_its_value():
    assert one_by_one((0.70, 0.1), (0.68, 0.1), (0.50, 0.1), (0.72, 0.1)) == [0.70, 0.70, 0.50, 0.70]


def test_one_by_one_values_do_not_drift_and_the_nearest_group_counts():
    found = one_by_one((0.70, 0.1), (0.76, 0.1), (0.82, 0.1), (0.77, 0.1))
    assert found == [0.70, 0.70, 0.82, 0.82]


def test_one_by_one_exact_values_failures_and_values_without_errors_stay():
    genome = Genome({"x": 0.0})
    results = [
        Told(0, genome, (0.5, 3.0), (0.0, 0.0)),
        Told(1, genome, None),
        Told(2, genome, (0.5001, 3.0), (0.0, 0.0)),
        Told(3, genome, (0.49, 9.0)),
    ]
    ties = LastingTies(["maximize", "minimize"])
    assert [ties.joined(one) for one in results] == results
    noisy = ties.joined(Told(4, genome, (0.52, 3.5), (0.2, math.nan)))
    assert noisy.values == (0.5001, 3.5)
