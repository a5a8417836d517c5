"""Genomes and vectors stand for each other; what does not belong to the space is refused."""

import numpy as np
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.gene_space import GeneSpace
from heterosis.core.genes import CategoryGene, Condition, FloatGene, IntegerGene
from heterosis.core.genome import Genome
from hypothesis import given, settings
from hypothesis import strategies as st

SPACE = GeneSpace(
    [
        CategoryGene("method", ("ties", "slerp", True)),
        FloatGene("density", 0.1, 1.0, Condition("method", ("ties",))),
        CategoryGene("bits", (2, 4, 8), Condition("method", ("ties", True))),
        IntegerGene("group", -3, 4, Condition("bits", (4,))),
        FloatGene("weight", -0.5, 1.5),
    ]
)
RANGES = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(sorted)
CHOICES = st.lists(st.one_of(st.text(max_size=3), st.integers(2, 99)), min_size=1, max_size=4, unique=True).map(tuple)


@st.composite
def gene_spaces(draw):
    genes = []
    for number in range(draw(st.integers(1, 6))):
        switches = [gene for gene in genes if isinstance(gene, CategoryGene)]
        condition = None
        if switches and draw(st.booleans()):
            switch = draw(st.sampled_from(switches))
            some = draw(st.lists(st.sampled_from(switch.choices), min_size=1, unique=True))
            condition = Condition(switch.name, tuple(some))
        kind = draw(st.sampled_from([FloatGene, IntegerGene, CategoryGene]))
        if kind is CategoryGene:
            genes.append(CategoryGene(f"gene {number}", draw(CHOICES), condition))
        elif kind is FloatGene:
            genes.append(FloatGene(f"gene {number}", *draw(RANGES), condition))
        else:
            low, high = sorted(draw(st.tuples(st.integers(-99, 99), st.integers(-99, 99))))
            genes.append(IntegerGene(f"gene {number}", low, high, condition))
    return GeneSpace(genes)


@st.composite
def spaces_and_vectors(draw):
    space = draw(gene_spaces())
    size = len(space)
    return space, draw(st.lists(st.floats(-2e6, 2e6), min_size=size, max_size=size))


@given(spaces_and_vectors())
@settings(deadline=None, max_examples=50)
def test_decode_undoes_encode(case):
    space, vector = case
    genome = space.decode(vector)
    space.check(genome)
    point = space.encode(genome)
    low, high = space.bounds()
    assert point.shape == low.shape == high.shape == (len(space),)
    assert np.all((low <= point) & (point <= high))
    assert space.decode(point) == genome


@given(spaces_and_vectors())
@settings(deadline=None, max_examples=50)
def test_what_lies_outside_the_box_is_clipped_to_it(case):
    space, vector = case
    assert space.decode(vector) == space.decode(np.clip(vector, *space.bounds()))


def test_every_value_of_a_discrete_gene_has_an_equal_share_of_the_box():
    space = GeneSpace([CategoryGene("method", ("a", "b", "c")), IntegerGene("dropped", -1, 2)])
    low, high = space.bounds()
    steps = (np.arange(1200) + 0.5) / 1200
    genomes = [space.decode(low + step * (high - low)) for step in steps]
    for name, values in {"method": ("a", "b", "c"), "dropped": (-1, 0, 1, 2)}.items():
        counts = [sum(genome[name] == value for genome in genomes) for value in values]
        assert counts == [1200 // len(values)] * len(values)


@pytest.mark.parametrize(
    ("method", "bits", "active"),
    [
        (0.5, 1.5, {"method", "density", "bits", "group", "weight"}),
        (0.5, 0.5, {"method", "density", "bits", "weight"}),
        (1.5, 1.5, {"method", "weight"}),
        (2.5, 1.5, {"method", "bits", "group", "weight"}),
    ],
)
def test_a_conditional_gene_is_there_only_where_it_counts(method, bits, active):
    genome = SPACE.decode([method, 0.4, bits, 1.0, 0.7])
    assert set(genome) == active


def test_coordinates_of_inactive_genes_change_nothing():
    assert SPACE.decode([1.5, 0.1, 0.2, -3.0, 0.7]) == SPACE.decode([1.5, 0.9, 2.7, 4.0, 0.7])


def test_the_ends_of_the_box_decode_to_the_ends_of_the_genes():
    low, high = SPACE.bounds()
    assert dict(SPACE.decode(low)) == {"method": "ties", "density": 0.1, "bits": 2, "weight": -0.5}
    assert dict(SPACE.decode(high)) == {"method": True, "bits": 8, "weight": 1.5}


@pytest.mark.parametrize("vector", [[0.0], [0.0] * 6, [[0.0] * 5], [0.0, 0.0, np.nan, 0.0, 0.0], [np.inf] * 5])
def test_a_vector_must_be_of_the_right_shape_and_finite(vector):
    with pytest.raises(ConfigurationError, match=r"shape|not finite"):
        SPACE.decode(vector)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "slerp"}, "lacks a value for gene 'weight'"),
        ({"method": "ties", "bits": 2, "weight": 0.5}, "lacks a value for gene 'density'"),
        ({"method": "slerp", "weight": 1.6}, "1.6 is outside gene"),
        ({"method": "dare", "weight": 1.0}, "'dare' is outside gene"),
        ({"method": "slerp", "weight": 1.0, "density": 0.5}, "'density', which is not an active gene"),
        ({"method": "slerp", "weight": 1.0, "wieght": 0.5}, "'wieght', which is not an active gene"),
    ],
)
def test_a_genome_of_another_space_is_refused(values, message):
    for use in (SPACE.check, SPACE.encode):
        with pytest.raises(ConfigurationError, match=message):
            use(Genome(values))


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ([], "nothing to search"),
        ([FloatGene("a", 0, 1), IntegerGene("a", 0, 1)], "two genes are called 'a'"),
        ([FloatGene("a", 0, 1), FloatGene("b", 0, 1, Condition("a", (0.5,)))], "'a', which is no category gene"),
        ([FloatGene("b", 0, 1, Condition("later", ("x",))), CategoryGene("later", ("x",))], "no category gene before"),
        ([CategoryGene("a", ("x",)), FloatGene("b", 0, 1, Condition("a", ("x", "y")))], "to be 'y', which it never is"),
    ],
)
def test_genes_that_do_not_make_a_space(genes, message):
    with pytest.raises(ConfigurationError, match=message):
        GeneSpace(genes)


def test_an_unknown_gene_is_answered_with_the_nearest():
    assert SPACE["density"].low == 0.1
    with pytest.raises(ConfigurationError, match=r"Did you mean 'weight'"):
        SPACE["wieght"]
