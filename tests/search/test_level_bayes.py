"""The modelled search of bit-widths: it learns what levels do, beats blind swaps, and keeps budgets."""

import numpy as np
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.gene_space import GeneSpace
from heterosis.core.genes import CategoryGene, FloatGene
from heterosis.core.genome import Genome
from heterosis.core.quantization.budget import LevelCosts
from heterosis.search.optimizers.level_bayes import LevelBayes
from heterosis.search.optimizers.level_es import LevelEs
from heterosis.search.optimizers.level_model import LevelModel, Observation
from heterosis.testing.optimizers import steady_trajectory, trajectory

KINDS, LAYERS = ("qkv", "down_proj"), 16
SIZES = {"int2": 200, "int3": 300, "int4": 400}
GENES = [f"level/{kind}/layer {layer}" for kind in KINDS for layer in range(LAYERS)]
COSTS = LevelCosts(0, dict.fromkeys(GENES, SIZES), dict.fromkeys(GENES, 100), len(GENES) * 300)
LEVELS = [CategoryGene(gene, tuple(SIZES)) for gene in GENES]
BITS = GeneSpace(LEVELS, COSTS)
BOTH = GeneSpace([FloatGene("weight", 0.0, 1.5), *LEVELS], COSTS)
NEED = dict(zip(GENES, np.random.default_rng(5).lognormal(0.0, 1.0, len(GENES)), strict=True))
TRUE = {gene: {level: NEED[gene] * 4.0 ** -(size / 100) for level, size in SIZES.items()} for gene in GENES}
UNIFORM = Genome(dict.fromkeys(GENES, "int3"))
LEFT_RIGHT = Genome({gene: "int2" if place % 2 else "int4" for place, gene in enumerate(GENES)})


def divergence(genome):
    """What levels do adds up, and neighbours make it a little worse; positive."""
    each = np.array([TRUE[gene][genome[gene]] for gene in GENES])
    return (
        float(0.1 + each.sum() + 0.5 * (each[1:] * each[:-1]).sum() + (float(genome.get("weight", 0.6)) - 0.6) ** 2),
    )


def best(optimizer, seed, evaluations=60, space=BITS, steady=False, score=divergence, direction="minimize", **options):
    made = optimizer(space, (direction,), seed, **options)
    done = steady_trajectory(made, score, evaluations) if steady else trajectory(made, score, evaluations, 4)
    assert all(COSTS.fits(told.genome) for _, told in done)
    values = [told.values[0] for _, told in done]
    return min(values) if direction == "minimize" else max(values)


@pytest.mark.parametrize("steady", [False, True])
def test_it_gains_more_than_blind_swaps_with_as_many_candidates(steady):
    """Estimates are of the right order, no more: off by a factor of 2 either way, and without any."""
    random = np.random.default_rng(0)
    errors = {gene: {level: TRUE[gene][level] * random.uniform(0.5, 2.0) for level in SIZES} for gene in GENES}
    blind = [best(LevelEs, seed, population=1, offspring=4, first=[UNIFORM]) for seed in range(4)]
    told = [best(LevelBayes, seed, errors=errors, first=[UNIFORM], steady=steady) for seed in range(4)]
    untold = [best(LevelBayes, seed, first=[UNIFORM], steady=steady) for seed in range(4)]
    assert np.mean(told) < np.mean(blind)
    assert np.mean(untold) < np.mean(blind)


def test_what_is_to_be_maximised_and_negative():
    score = lambda genome: (-divergence(genome)[0],)  # noqa: E731
    found = best(LevelBayes, 1, score=score, direction="maximize", first=[UNIFORM])
    assert found > best(LevelEs, 1, score=score, direction="maximize", first=[UNIFORM], population=1, offspring=4)


def test_merge_weights_move_beside_levels():
    made = LevelBayes(BOTH, ("minimize",), 3, first=[{**UNIFORM, "weight": 0.1}])
    done = trajectory(made, divergence, 60, 4)
    assert {proposal.operator for proposal, _ in done if proposal.parents} == {
        "modelled swaps",
        "gaussian step",
        "modelled swaps+gaussian step",
    }
    assert min(told.values[0] for _, told in done) < divergence({**UNIFORM, "weight": 0.1})[0] - 0.2
    for proposal, told in done:
        if proposal.operator == "modelled swaps":
            parent = next(other.genome for _, other in done if other.number == proposal.parents[0])
            assert told.genome["weight"] == parent["weight"]


def test_a_space_without_levels_is_searched_by_steps():
    space = GeneSpace([FloatGene("weight", 0.0, 1.5)])
    done = trajectory(LevelBayes(space, ("minimize",), 1), lambda genome: ((genome["weight"] - 0.3) ** 2,), 40, 4)
    assert min(told.values[0] for _, told in done) < 0.01


def test_the_model_finds_what_one_group_does():
    """Every candidate differs in many groups; one group does what no estimate says."""
    odd = GENES[7]
    random = np.random.default_rng(2)
    errors = {gene: {"int2": 0.4, "int3": 0.1, "int4": 0.02} for gene in GENES}

    def score(genome):
        return sum(errors[gene][genome[gene]] for gene in GENES) + 2.0 * (genome[odd] == "int2")

    drawn = [Genome({gene: str(random.choice(list(SIZES))) for gene in GENES}) for _ in range(60)]
    seen = [Observation(genome, score(genome)) for genome in drawn]
    effects = LevelModel(COSTS, errors).effects(seen[0], seen[1:])
    apart = {gene: effects[gene]["int2"] - effects[gene]["int4"] for gene in GENES}
    assert max(apart, key=apart.get) == odd
    assert apart[odd] > 2 * max(value for gene, value in apart.items() if gene != odd)


def test_with_nothing_known_the_order_of_the_estimates_is_kept():
    effects = LevelModel(COSTS, TRUE).effects(Observation(UNIFORM, 1.0), [])
    known = sorted((TRUE[gene][level], effects[gene][level]) for gene in GENES for level in SIZES)
    assert [mean for _, mean in known] == sorted(mean for _, mean in known)


def test_draws_spread_where_nothing_is_known_and_agree_where_it_is():
    model, random = LevelModel(COSTS, TRUE), np.random.default_rng(1)
    changed = GENES[3]
    seen = [Observation(Genome({**UNIFORM, changed: "int2"}), divergence({**UNIFORM, changed: "int2"})[0])]
    start = Observation(UNIFORM, divergence(UNIFORM)[0])

    def spread(gene):
        draws = [model.effects(start, seen, random)[gene] for _ in range(60)]
        return float(np.std([draw["int2"] - draw["int3"] for draw in draws])) / (
            TRUE[gene]["int2"] - TRUE[gene]["int3"]
        )

    assert spread(changed) < 0.5 * spread(GENES[20])


def test_an_unknown_option_is_refused():
    with pytest.raises(ConfigurationError, match=r"level_bayes.*has no option 'lambda'"):
        LevelBayes(BITS, ("minimize",), 1, **{"lambda": 3})
