"""A budget is never exceeded, whatever the architecture, the levels and the way that a genome comes about."""

import numpy as np
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.gene_space import GeneSpace
from heterosis.core.genes import FloatGene
from heterosis.core.genome import Genome
from heterosis.core.quantization.budget import Budget
from heterosis.core.quantization.groups import group_of
from heterosis.core.quantization.level import Level
from heterosis.core.quantization.swaps import swapped
from heterosis.core.quantization.target import stored_bytes
from heterosis.core.quantize_space import Quantize
from heterosis.search.optimizers.box import Box
from heterosis.testing.architectures import architectures
from hypothesis import given, settings
from hypothesis import strategies as st

LEVELS = ["int2-g16", "int3-g32", "int4-g16", "int4-g48", "int8-channel", "none"]
UNITS = ["bits", "bytes", "memory"]


@st.composite
def budgets(draw):
    """Level genes of a random architecture under a random budget that something keeps, and the plan."""
    plan = draw(architectures())
    labels = [*draw(st.lists(st.sampled_from(LEVELS), min_size=1, unique=True)), "int5-channel"]
    rest = {
        "levels": labels,
        "groups": draw(st.sampled_from(["layers:1", "layers:2", "model"])),
        "by_kind": draw(st.booleans()),
        "fixed": draw(st.sampled_from([{}, {"embedding": "int8-channel"}, {"qkv": "int4-g16"}])),
    }
    unit = draw(st.sampled_from(UNITS))
    try:
        free = Quantize(**rest, budget={unit: 10**12}).genes(plan).costs
    except ConfigurationError:  # a level that is legal nowhere here
        rest["levels"] = ["int2-channel", "int5-channel", "none"]
        free = Quantize(**rest, budget={unit: 10**12}).genes(plan).costs
    most = free.fixed + sum(max(levels.values()) for levels in free.costs.values())
    limit = draw(st.floats(free.least, most * 1.05))
    if unit == "bits":
        limit = (limit + 1) / sum(free.weights.values())
    return Quantize(**rest, budget={unit: max(limit, free.least if unit != "bits" else 0)}).genes(plan), plan


def exact(levels, genome, plan, quantize):
    """Bytes, or bits of the weights that are searched, counted tensor by tensor."""
    recipe = levels.quantization(genome, {})
    layers = int(plan.config["num_hidden_layers"])
    total = 0
    for tensor in plan.tensors:
        group = group_of(tensor.name) if len(tensor.info.shape) == 2 else None
        level = recipe.level_of(group, layers) if group else None
        searched = group is not None and group.layer is not None and group.kind not in quantize.fixed
        if quantize.budget.unit != "bits":
            total += stored_bytes(tensor.info, level)
        elif searched:
            total += 8 * stored_bytes(tensor.info, level)
    return total


@settings(max_examples=60, deadline=None)
@given(budgets(), st.integers(0, 2**32 - 1))
def test_no_genome_exceeds_the_budget(made, seed):
    levels, plan = made
    quantize = levels._quantize
    space = GeneSpace([FloatGene("weight", 0.0, 1.0), *levels.genes], levels.costs)
    low, high = space.bounds()
    random = np.random.default_rng(seed)
    limit = levels.costs.limit
    cache = levels.costs.fixed - exact_fixed(levels, plan, quantize)
    for point in (low, high, *(low + (high - low) * random.random((3, len(space))))):
        genome = space.decode(point)
        space.check(genome)
        assert levels.costs.total(genome) <= limit
        assert exact(levels, genome, plan, quantize) + cache <= limit
        for _ in range(3):
            child = swapped(levels.costs, genome, random)
            genome = Genome({**genome, **child})
            space.check(genome)
            assert exact(levels, genome, plan, quantize) + cache <= limit


def exact_fixed(levels, plan, quantize):
    """What is not the levels' doing, but for the keys and values: by subtraction, at the smallest levels."""
    smallest = Genome({gene: min(costs, key=costs.get) for gene, costs in levels.costs.costs.items()})
    return exact(levels, smallest, plan, quantize) - (levels.costs.total(smallest) - levels.costs.fixed)


@settings(max_examples=60, deadline=None)
@given(budgets(), st.integers(0, 2**32 - 1))
def test_repair_is_deterministic_idempotent_and_only_lowers(made, seed):
    levels, _ = made
    costs = levels.costs
    random = np.random.default_rng(seed)
    drawn = {gene: str(random.choice(list(options))) for gene, options in costs.costs.items()}
    repaired = costs.repaired(drawn)
    assert costs.fits(repaired)
    assert costs.repaired(drawn) == repaired
    assert costs.repaired(dict(reversed(drawn.items()))) == repaired
    assert costs.repaired(repaired) == repaired
    if costs.fits(drawn):
        assert repaired == drawn
    for gene, options in costs.costs.items():
        assert options[repaired[gene]] <= options[drawn[gene]]
    left = costs.limit - costs.total(repaired)
    for gene, options in costs.costs.items():
        now, wanted = options[repaired[gene]], options[drawn[gene]]
        assert not any(now < cost <= min(wanted, now + left) for cost in options.values()), "it was lowered too far"


@settings(max_examples=40, deadline=None)
@given(budgets(), st.integers(0, 2**32 - 1))
def test_what_is_encoded_and_decoded_is_the_same_genome(made, seed):
    levels, _ = made
    space = GeneSpace(levels.genes, levels.costs)
    box = Box(space)
    genome = box.decode(np.random.default_rng(seed).random(box.dimension))
    assert box.decode(box.encode(genome)) == genome
    assert space.decode(space.encode(genome)) == genome


@settings(max_examples=30, deadline=None)
@given(budgets())
def test_a_uniform_genome_has_the_level_wherever_it_is_legal(made):
    levels, _ = made
    for label in levels._quantize.labels:
        genome = levels.uniform(label)
        assert genome is not None
        for gene in levels.genes:
            assert (genome[gene.name] == label) == (label in gene.choices)


@settings(max_examples=30, deadline=None)
@given(architectures(), st.sampled_from(UNITS))
def test_a_budget_below_the_smallest_model_is_refused_and_the_named_one_is_enough(plan, unit):
    options = {"levels": ["int2-channel", "int5-channel"]}
    costs = Quantize(**options, budget={unit: 10**12}).genes(plan).costs
    least = costs.least if unit != "bits" else costs.least / sum(costs.weights.values())
    with pytest.raises(ConfigurationError, match=r"below\s+the smallest legal model, which takes [\d.e+]+; raise it"):
        Quantize(**options, budget={unit: least * 0.98}).genes(plan)
    named = Quantize(**options, budget={unit: least * 1.001}).genes(plan).costs
    assert named.least <= named.limit


@pytest.mark.parametrize(
    ("content", "unit", "limit"),
    [
        (3.5, "bits", 3.5),
        (64, "bits", 64),
        (65, "bytes", 65),
        ("60MB", "bytes", 60e6),
        ("1.5GiB", "bytes", 1.5 * 2**30),
        ("123", "bytes", 123),
        ({"bits": 3}, "bits", 3),
        ({"memory": "1GB", "context": 512}, "memory", 1e9),
    ],
)
def test_budgets_that_are_read(content, unit, limit):
    budget = Budget.parse(content, "here")
    assert (budget.unit, budget.limit) == (unit, limit)
    assert Budget.parse(budget.to_dict(), "here") == budget


@pytest.mark.parametrize(
    "content",
    [
        0, -1, True, False, "", "60 M B", "60XB", "1.2.3MB", ".", "MB", [], {}, {"bits": "4"}, {"bits": 0},
        {"bits": True}, {"bytes": "many"}, {"bits": 3, "bytes": 4}, {"bits": 3, "context": 5},
        {"memory": 5, "context": 0}, {"memory": 5, "context": True}, float("nan"), float("inf"), "0MB", None,
    ],
)  # fmt: skip
def test_budgets_that_are_not(content):
    with pytest.raises(ConfigurationError, match=r"^here"):
        Budget.parse(content, "here")


def test_levels_of_equal_size_are_kept_apart():
    assert Level.parse("gptq:int4-g16") != Level.parse("int4-g16")
