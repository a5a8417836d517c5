"""Properties over arbitrary spaces, results and turns."""

import math

import pytest
from heterosis.core import registry
from heterosis.core.contracts import Told
from heterosis.core.errors import OptimizerError
from heterosis.search.optimizers.box import Box
from heterosis.testing.gene_spaces import gene_spaces
from heterosis.testing.optimizers import FLOATS, optimize, steady_trajectory, trajectory
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

QUICK = ["random", "ga", "de", "cmaes", "nsga2", "tpe", "optuna_cmaes"]
CHUNK_FREE = ["random", "ga", "de", "cmaes", "nsga2"]

results = st.one_of(
    st.none(), st.floats(-1e12, 1e12), st.sampled_from([0.0, 0.25, math.nan, math.inf, -math.inf, 1e308])
)
few = settings(max_examples=7, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def new(name, space, **options):
    try:
        return registry.load("optimizers", name)(space, ("minimize",), 5, **options)
    except OptimizerError:
        assume(False)


@pytest.mark.parametrize("name", QUICK)
@few
@given(space=gene_spaces(), told=st.lists(results, min_size=1, max_size=12), at_a_time=st.integers(1, 9))
def test_whatever_is_told_proposals_stay_in_the_space(name, space, told, at_a_time):
    turns = iter(told * 40)

    def evaluate(genome):
        value = next(turns)
        return None if value is None else (value,)

    for result in optimize(new(name, space), evaluate, 24, at_a_time):
        space.check(result.genome)


@pytest.mark.parametrize("name", CHUNK_FREE)
@few
@given(space=gene_spaces(), at_a_time=st.integers(2, 9))
def test_how_many_are_asked_at_a_time_changes_nothing(name, space, at_a_time):
    def evaluate(genome):
        return None if genome.hash.startswith("0") else (int(genome.hash[:2], 16) / 16,)

    once = trajectory(new(name, space), evaluate, 24, 1)
    assert trajectory(new(name, space), evaluate, 24, at_a_time) == once


@few
@given(space=gene_spaces(), data=st.data())
def test_a_genome_survives_the_unit_cube(space, data):
    box = Box(space)
    point = data.draw(st.lists(st.floats(0, 1), min_size=box.dimension, max_size=box.dimension))
    genome = box.decode(point)
    again = box.decode(box.encode(genome))
    assert again.keys() == genome.keys()
    for name, value in genome.items():
        assert again[name] == (pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value)


@few
@given(space=gene_spaces(), seed=st.integers(0, 10**6))
def test_given_genomes_are_proposed_by_any_optimizer_in_any_space(space, seed):
    wanted = [told.genome for told in optimize(new("random", space, first=["middle"]), lambda genome: None, 3)]
    for name in QUICK:
        try:
            optimizer = registry.load("optimizers", name)(space, ("maximize",), seed, first=wanted)
        except OptimizerError:
            continue
        unique = list(dict.fromkeys(wanted))
        assert [told.genome for told in optimize(optimizer, lambda genome: (1.0,), len(unique))] == unique


def interleaved(optimizer, steps, told):
    """The genomes proposed where each step is an ask, or a tell of the open proposal at some place."""
    optimizer.steady_state()
    waiting, proposed, turns = [], [], iter(told * 40)
    for step in steps:
        if step is None or not waiting:
            [proposal] = optimizer.ask(1)
            waiting.append((len(proposed), proposal.genome))
            proposed.append(proposal)
        else:
            number, genome = waiting.pop(step % len(waiting))
            value = next(turns)
            optimizer.tell([Told(number, genome, None if value is None else (value,))])
    return proposed


@pytest.mark.parametrize("name", QUICK)
@few
@given(
    space=gene_spaces(),
    told=st.lists(results, min_size=1, max_size=12),
    steps=st.lists(st.one_of(st.none(), st.integers(0, 20)), max_size=50),
)
def test_in_steady_state_asks_and_tells_may_come_in_any_order_and_replayed_give_the_same(name, space, told, steps):
    proposed = interleaved(new(name, space), steps, told)
    for proposal in proposed:
        space.check(proposal.genome)
    assert interleaved(new(name, space), steps, told) == proposed


@pytest.mark.parametrize("name", ["random", "cmaes", "tpe", "optuna_cmaes"])
@pytest.mark.parametrize("seed", [1, 2])
def test_one_at_a_time_steady_state_proposes_what_turns_propose(name, seed):
    def evaluate(genome):
        return (-((genome["a"] - 0.4) ** 2) - genome["c"],)

    optimizers = [registry.load("optimizers", name)(FLOATS, ("maximize",), seed) for _ in range(2)]
    assert steady_trajectory(optimizers[0], evaluate, 40, outstanding=1) == trajectory(optimizers[1], evaluate, 40, 1)
