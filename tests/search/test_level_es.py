"""The evolution strategy for bit-widths: within the budget, small changes, and further than uniform or chance."""

import numpy as np
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.gene_space import GeneSpace
from heterosis.core.genes import CategoryGene, FloatGene
from heterosis.core.quantization.budget import LevelCosts
from heterosis.search.optimizers.level_es import LevelEs
from heterosis.search.optimizers.random import RandomSearch
from heterosis.testing.optimizers import steady_trajectory, trajectory

SIZES = {"int2": 200, "int3": 300, "int4": 400, "int8": 800}
GENES = [f"level {n}" for n in range(24)]
COSTS = LevelCosts(50, dict.fromkeys(GENES, SIZES), dict.fromkeys(GENES, 100), 50 + 24 * 300)
LEVELS = [CategoryGene(gene, tuple(SIZES)) for gene in GENES]
BITS = GeneSpace(LEVELS, COSTS)
BOTH = GeneSpace([FloatGene("weight", 0.0, 1.5), *LEVELS], COSTS)


def error(genome):
    """Groups differ in what they need; neighbours with few bits are worse than either alone."""
    bits = np.array([SIZES[genome[gene]] / 100 for gene in GENES])
    need = np.linspace(0.2, 3.0, len(GENES)) ** 2
    each = need * 4.0**-bits
    weight = float(genome.get("weight", 0.6))
    return (float(each.sum() + 4 * (each[1:] * each[:-1]).sum() + (weight - 0.6) ** 2),)


def runs(optimizer, space, evaluations=200, seed=1, steady=False, **options):
    made = optimizer(space, ("minimize",), seed, **options)
    return steady_trajectory(made, error, evaluations) if steady else trajectory(made, error, evaluations, 32)


UNIFORM = dict.fromkeys(GENES, "int3")


@pytest.mark.parametrize("steady", [False, True])
def test_it_beats_uniform_and_chance_at_the_same_bytes(steady):
    done = runs(LevelEs, BITS, first=[UNIFORM], steady=steady)
    best = min(told.values[0] for _, told in done)
    assert best < 0.8 * error(UNIFORM)[0]
    assert best < min(told.values[0] for _, told in runs(RandomSearch, BITS, first=[UNIFORM]))
    assert all(COSTS.total(told.genome) <= COSTS.limit for _, told in done)


def test_a_child_differs_in_few_genes_and_keeps_the_rest_to_the_last_bit():
    done = runs(LevelEs, BOTH, first=[{**UNIFORM, "weight": 0.1 + 0.2}])
    genomes = {told.number: told.genome for _, told in done}
    seen = set()
    for proposal, _ in done:
        if not proposal.parents:
            continue
        (parent,) = proposal.parents
        changed = {gene for gene in proposal.genome if proposal.genome[gene] != genomes[parent][gene]}
        seen.add(proposal.operator)
        assert ("weight" in changed) <= ("gaussian step" in proposal.operator)
        assert bool(changed - {"weight"}) <= ("level swap" in proposal.operator)
        assert len(changed) <= 16
    assert seen == {"level swap", "gaussian step", "level swap+gaussian step"}


def test_genomes_are_not_repeated():
    done = runs(LevelEs, BITS, first=[UNIFORM])
    assert len({told.genome for _, told in done}) == len(done)


def test_merge_and_bits_are_searched_together():
    done = runs(LevelEs, BOTH, 300, first=[{**UNIFORM, "weight": 0.0}])
    best = min((told for _, told in done), key=lambda told: told.values[0])
    assert abs(best.genome["weight"] - 0.6) < 0.1
    assert best.values[0] < 0.8 * error(UNIFORM)[0]


def test_a_front_spreads_where_bytes_are_an_objective():
    free = GeneSpace(LEVELS, LevelCosts(0, COSTS.costs, COSTS.weights))
    optimizer = LevelEs(free, ("minimize", "minimize"), 1, first=[UNIFORM])
    done = trajectory(optimizer, lambda genome: (*error(genome), free.costs.total(genome)), 300, 32)
    totals = [told.values[1] for _, told in done[-100:]]
    assert max(totals) - min(totals) > 1500


def test_options_are_checked():
    for options in ({"offspring": 0}, {"sigma": 2.0}, {"swaps": 1.5}, {"parents": 3}):
        with pytest.raises(ConfigurationError):
            LevelEs(BITS, ("minimize",), 1, **options)
