"""What a user sees: each optimizer beats chance, starts where it is told to, and says where a candidate comes from."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from heterosis.core import registry
from heterosis.core.contracts import Told
from heterosis.core.gene_space import GeneSpace
from heterosis.core.genes import CategoryGene, FloatGene, IntegerGene
from heterosis.core.genome import Genome
from heterosis.search.pareto import hypervolume
from heterosis.testing.optimizers import MIXED, optimize, steady_trajectory, trajectory

QUICK = ["random", "ga", "de", "cmaes", "nsga2", "tpe", "optuna_cmaes", "level_es", "level_bayes"]
ALL = [*QUICK, "gp"]

WEIGHTS = GeneSpace([FloatGene(f"weight {place}", 0.0, 1.5) for place in range(4)])
BEST = (0.4, 0.9, 0.6, 1.1)


def new(name, space=WEIGHTS, directions=("maximize",), seed=1, **options):
    return registry.load("optimizers", name)(space, directions, seed, **options)


def closeness(genome):
    return (-sum((genome[f"weight {place}"] - best) ** 2 for place, best in enumerate(BEST)),)


def best_of(name, evaluations, seed, evaluate=closeness, space=WEIGHTS, **options):
    results = optimize(new(name, space, seed=seed, **options), evaluate, evaluations, at_a_time=8)
    return max(told.values[0] for told in results)


@pytest.mark.parametrize("name", ["ga", "de", "cmaes", "nsga2", "tpe", "optuna_cmaes", "level_es", "level_bayes"])
def test_sixty_evaluations_come_far_closer_to_the_best_weights_than_chance(name):
    chance = np.mean([best_of("random", 60, seed) for seed in range(20)])
    found = np.mean([best_of(name, 60, seed) for seed in range(3)])
    assert found > 0.6 * chance  # both are negative: the distance that is left


@pytest.mark.parametrize("name", ["ga", "de", "cmaes", "nsga2", "tpe", "optuna_cmaes", "level_es", "level_bayes"])
def test_fed_as_results_arrive_with_eight_under_way_a_search_comes_about_as_far(name):
    space = GeneSpace([FloatGene(f"x{place}", 0.0, 1.0) for place in range(6)])

    def sphere(genome):
        return (-sum((value - 0.25 - 0.1 * place) ** 2 for place, value in enumerate(genome.values())),)

    def left(seed, steady):
        optimizer = new(name, space, seed=seed)
        run = steady_trajectory(optimizer, sphere, 100) if steady else trajectory(optimizer, sphere, 100, 8)
        return -max(told.values[0] for _, told in run)

    seeds = range(2 if name == "tpe" else 4)
    in_turns, fed, chance = (
        np.exp(np.mean(np.log(lefts)))
        for lefts in (
            [left(seed, steady=False) for seed in seeds],
            [left(seed, steady=True) for seed in seeds],
            [-best_of("random", 100, seed, sphere, space) for seed in range(20)],
        )
    )
    assert fed < 4 * in_turns  # twice the distance
    assert fed < 0.6 * chance


@pytest.mark.slow
def test_a_gaussian_process_needs_few_evaluations():
    chance = np.mean([best_of("random", 12, seed) for seed in range(20)])
    assert best_of("gp", 12, 1, startup=8) > 0.6 * chance


@pytest.mark.parametrize("name", ["ga", "nsga2", "tpe", "cmaes", "de", "level_es", "level_bayes"])
def test_categories_and_integers_are_searched_too(name):
    space = GeneSpace(
        [
            CategoryGene("method", ("linear", "ties", "slerp")),
            IntegerGene("dropped", 0, 9),
            FloatGene("weight", 0.0, 1.5),
        ]
    )

    def evaluate(genome):
        return ((genome["method"] == "ties") - abs(genome["dropped"] - 3) / 10 - abs(genome["weight"] - 0.9),)

    chance = np.mean([best_of("random", 50, seed, evaluate, space) for seed in range(20)])
    assert np.mean([best_of(name, 50, seed, evaluate, space) for seed in range(3)]) > chance


@pytest.mark.parametrize("name", ["nsga2", "tpe"])
def test_a_front_covers_more_than_that_of_chance(name):
    directions = ("maximize", "minimize")

    def evaluate(genome):  # accuracy against size: the nearer to BEST, the better; each weight costs
        return 4 + closeness(genome)[0], sum(genome.values())

    def covered(name, seed):
        results = optimize(new(name, directions=directions, seed=seed), evaluate, 50, at_a_time=8)
        return hypervolume([told.values for told in results], directions, (0.0, 6.0))

    assert np.mean([covered(name, seed) for seed in range(3)]) > np.mean(
        [covered("random", seed) for seed in range(10)]
    )


def test_a_gaussian_process_takes_two_objectives():
    optimizer = new("gp", directions=("maximize", "minimize"), startup=3)
    done = trajectory(optimizer, lambda genome: (closeness(genome)[0], sum(genome.values())), 4)
    assert [proposal.operator for proposal, _ in done] == ["random"] * 3 + ["gp"]


@pytest.mark.parametrize("name", ALL)
def test_given_genomes_are_tried_first_exactly_as_given(name):
    given = [
        {"method": "slerp", "dropped": 2, "weight": 0.7},
        {"method": "ties", "density": 1, "dropped": 0, "weight": 0.1},
    ]
    optimizer = new(name, MIXED, first=["middle", *given, given[0]])
    first = trajectory(optimizer, lambda genome: (0.0,), 3)
    assert [told.genome for _, told in first][1:] == [Genome(given[0]), Genome({**given[1], "density": 1.0})]
    assert {proposal.operator for proposal, _ in first} == {"given"}
    assert first[0][1].genome["weight"] == 0.75
    assert trajectory(optimizer, lambda genome: (0.0,), 1)[0][0].operator != "given"


@pytest.mark.parametrize("name", ["cmaes", "optuna_cmaes"])
def test_cmaes_searches_around_the_start_that_it_is_given(name):
    start = {f"weight {place}": 0.3 for place in range(4)}
    results = optimize(new(name, first=[start], sigma=0.01), closeness, 9)
    assert all(abs(value - 0.3) < 0.1 for told in results for value in told.genome.values())


def test_cmaes_starts_from_the_best_of_several_given_genomes():
    near, far = dict(zip(WEIGHTS_NAMES, BEST, strict=True)), dict.fromkeys(WEIGHTS_NAMES, 0.0)
    results = optimize(new("cmaes", first=[far, near], sigma=0.01), closeness, 10)
    assert all(closeness(told.genome)[0] > -0.05 for told in results[2:])


WEIGHTS_NAMES = [gene.name for gene in WEIGHTS]


@pytest.mark.parametrize(("name", "operator"), [("ga", "crossover+mutation"), ("nsga2", "crossover+mutation")])
def test_children_name_the_two_parents_they_were_crossed_from(name, operator):
    done = trajectory(new(name, population=6), closeness, 30)
    assert all(not proposal.parents and proposal.operator == "sampling" for proposal, _ in done[:6])
    assert all(proposal.operator == operator and 1 <= len(proposal.parents) <= 2 for proposal, _ in done[6:])
    assert all(max(proposal.parents) < told.number for proposal, told in done[6:])
    by_number = {told.number: told.genome for _, told in done}
    gaps = [
        min(abs(proposal.genome[gene] - by_number[parent][gene]) for parent in proposal.parents)
        for proposal, _ in done[6:]
        for gene in WEIGHTS_NAMES
    ]
    assert np.median(gaps) < 0.05  # children resemble those whom they call their parents


def test_differential_evolution_names_target_base_and_difference():
    done = trajectory(new("de", population=8), closeness, 40)
    assert all(proposal.operator == "differential evolution" for proposal, _ in done[8:])
    assert all(3 <= len(proposal.parents) <= 4 for proposal, _ in done[8:])
    first_target = done[8][0]
    assert 0 in first_target.parents


@pytest.mark.parametrize("name", ["cmaes", "tpe", "optuna_cmaes", "gp", "random"])
def test_model_based_candidates_have_no_parents(name):
    options = {"startup": 3} if name in ("tpe", "gp") else {}
    done = trajectory(new(name, **options), closeness, 4)
    assert not any(proposal.parents for proposal, _ in done)
    assert done[-1][0].operator == {"optuna_cmaes": "cma", "cmaes": "cma"}.get(name, name)


@pytest.mark.parametrize("name", ["tpe", pytest.param("gp", marks=pytest.mark.slow)])
def test_a_batch_is_spread_out(name):
    optimizer = new(name, startup=3, batch=3)
    optimize(optimizer, closeness, 3, at_a_time=3)
    assert len({proposal.genome for proposal in optimizer.ask(8)}) == 3


def test_optuna_proposes_one_at_a_time_by_default():
    assert len(new("tpe").ask(8)) == 1


def test_a_generation_is_handed_out_in_pieces():
    optimizer = new("ga", population=6)
    sizes = []
    for _ in range(4):
        proposals = optimizer.ask(4)
        sizes.append(len(proposals))
        optimizer.tell([Told(number, proposal.genome, (0.5,)) for number, proposal in enumerate(proposals)])
    assert sizes == [4, 2, 4, 2]


@pytest.mark.parametrize("name", ["ga", "de", "cmaes", "nsga2", "level_es", "level_bayes"])
def test_the_region_that_fails_is_left(name):
    def evaluate(genome):
        return None if genome["weight 0"] > 0.75 else (genome["weight 0"],)

    results = optimize(new(name, seed=3), evaluate, 100, at_a_time=8)
    assert sum(told.values is None for told in results[-30:]) < 20  # the best candidates lie at the edge of the region
    assert max(told.values[0] for told in results if told.values) > 0.7


@pytest.mark.parametrize("name", ["ga", "nsga2"])
def test_genomes_are_not_repeated_while_there_are_others(name):
    space = GeneSpace([CategoryGene("a", ("x", "y", "z")), IntegerGene("b", 0, 9)])
    results = optimize(new(name, space, population=6), lambda genome: (float(genome["b"]),), 18)
    assert len({told.genome for told in results}) == 18


def test_in_steady_state_children_are_bred_before_a_generation_is_over():
    optimizer = new("ga", population=6)
    optimizer.steady_state()
    first = [optimizer.ask(1)[0] for _ in range(6)]
    assert {proposal.operator for proposal in first} == {"sampling"}
    for number, proposal in enumerate(first[:4]):
        optimizer.tell([Told(number, proposal.genome, closeness(proposal.genome))])
    [child] = optimizer.ask(1)
    assert child.operator == "crossover+mutation"
    assert set(child.parents) <= {0, 1, 2, 3}


def test_in_steady_state_a_child_of_differential_evolution_takes_the_place_of_its_target_only():
    optimizer = new("de", population=4)
    optimizer.steady_state()
    for number in range(4):
        [proposal] = optimizer.ask(1)
        optimizer.tell([Told(number, proposal.genome, (float(number),))])
    children = [optimizer.ask(1)[0] for _ in range(4)]
    for target, child in enumerate(children):
        assert target in child.parents
    for number, child in reversed(list(enumerate(children))):
        optimizer.tell([Told(10 + number, child.genome, (0.5 + number,))])
    assert [individual.get("number") for individual in optimizer._running.pop] == [10, 11, 12, 13]


def test_in_steady_state_cmaes_is_sampled_on_while_results_are_missing():
    optimizer = new("cmaes", population=4)
    optimizer.steady_state()
    proposals = [optimizer.ask(1)[0] for _ in range(15)]
    assert [proposal.operator for proposal in proposals] == ["given"] + ["cma"] * 14
    assert len({proposal.genome for proposal in proposals}) == 15


@pytest.mark.parametrize("names", [QUICK, pytest.param(["gp"], marks=pytest.mark.slow)], ids=["quick", "gp"])
def test_another_process_proposes_the_same(names):
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]);"
        "from test_optimizers import proposals; print(json.dumps(proposals(sys.argv[2:])))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, os.path.dirname(__file__), *names],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stderr == ""  # nor does any library print banners or warnings
    assert json.loads(answer.stdout) == proposals(names)


def proposals(names):
    found = {}
    for name in names:
        options, evaluations = ({"startup": 4}, 6) if name == "gp" else ({}, 30)
        results = optimize(new(name, MIXED, **options), lambda genome: (float(genome["weight"]),), evaluations)
        found[name] = [told.genome.to_json() for told in results]
    return found
