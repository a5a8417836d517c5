"""Allocations are the best there are, keep the limit, and get better as it is raised."""

import itertools

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.quantization.allocation import allocate
from heterosis.core.quantization.budget import LevelCosts
from hypothesis import given, settings
from hypothesis import strategies as st


@st.composite
def problems(draw):
    """Costs, errors and a limit that something keeps."""
    costs, errors = {}, {}
    for gene in range(draw(st.integers(1, 5))):
        sizes = sorted(draw(st.lists(st.integers(1, 10**9), min_size=1, max_size=4)))
        labels = [f"l{place}" for place in range(len(sizes))]
        costs[f"g{gene}"] = dict(zip(labels, sizes, strict=True))
        errors[f"g{gene}"] = {label: draw(st.floats(0, 1e3)) for label in labels}
    made = LevelCosts(draw(st.integers(0, 10**6)), costs)
    most = made.fixed + sum(max(levels.values()) for levels in costs.values())
    return made, errors, draw(st.integers(made.least, most))


@settings(max_examples=80, deadline=None)
@given(problems())
def test_it_is_as_good_as_trying_everything(problem):
    costs, errors, limit = problem
    found = allocate(costs, errors, limit)
    assert found.cost == costs.total(found.levels) <= limit
    assert found.error == pytest.approx(sum(errors[gene][level] for gene, level in found.levels.items()))
    every = (dict(zip(costs.costs, one, strict=True)) for one in itertools.product(*costs.costs.values()))
    best = min(sum(errors[gene][level] for gene, level in one.items()) for one in every if costs.total(one) <= limit)
    scale = max(error for levels in errors.values() for error in levels.values())
    assert found.error <= best + 1e-5 * scale + found.gap * found.error


def test_a_large_one_uses_its_budget():
    genes = {f"layer {n}": {"int2": 2000, "int3": 3000, "int4": 4000, "int8": 8000} for n in range(200)}
    errors = {gene: {"int2": 16.0 + n, "int3": 4.0, "int4": 1.0, "int8": 0.1} for n, gene in enumerate(genes)}
    costs = LevelCosts(123, genes)
    found = [allocate(costs, errors, 123 + 200 * 1000 * bits) for bits in (2, 3, 4, 6, 8)]
    assert [one.cost for one in found] == [123 + 200 * 1000 * bits for bits in (2, 3, 4, 6, 8)]
    assert [one.error for one in found] == sorted((one.error for one in found), reverse=True)
    assert set(found[0].levels.values()) == {"int2"}
    assert set(found[-1].levels.values()) == {"int8"}


def test_what_makes_no_sense_is_refused():
    costs = LevelCosts(0, {"a": {"int2": 5}})
    with pytest.raises(ConfigurationError, match="below the cheapest model, which costs 5"):
        allocate(costs, {"a": {"int2": 0.0}}, 4)
    for error in (float("nan"), float("inf"), -1.0):
        with pytest.raises(ConfigurationError, match="finite and not negative"):
            allocate(costs, {"a": {"int2": error}}, 5)
