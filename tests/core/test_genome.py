"""Genes hold what they say; a genome's identity does not depend on order or process."""

import subprocess
import sys

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.genes import CategoryGene, FloatGene, IntegerGene
from heterosis.core.genome import Genome, canonical_json, content_hash
from hypothesis import given, settings
from hypothesis import strategies as st

VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53), st.booleans(), st.text(max_size=8)
)
GENOMES = st.dictionaries(st.text(max_size=12), VALUES, max_size=8)


@pytest.mark.parametrize(
    ("gene", "inside", "outside"),
    [
        (FloatGene("x", -1.0, 2.0), [-1.0, 0, 0.5, 2.0], [-1.1, 2.1, float("nan"), float("inf"), "1", True]),
        (IntegerGene("x", -1, 2), [-1, 0, 2], [-2, 3, 1.0, 0.5, "1", True]),
        (CategoryGene("x", ("ties", 4, False)), ["ties", 4, False], ["tie", 5, True]),
    ],
)
def test_a_gene_contains_its_range(gene, inside, outside):
    assert [value for value in inside if not gene.contains(value)] == []
    assert [value for value in outside if gene.contains(value)] == []


@pytest.mark.parametrize("kind", [FloatGene, IntegerGene])
def test_a_range_upside_down_is_refused_with_the_right_one(kind):
    with pytest.raises(ConfigurationError, match=r"'weight'.*\[3, 1\] is upside down; write \[1, 3\]"):
        kind("weight", 3, 1)


@pytest.mark.parametrize(("low", "high"), [(float("nan"), 1.0), (0.0, float("inf"))])
def test_a_range_must_be_finite(low, high):
    with pytest.raises(ConfigurationError, match=r"not finite"):
        FloatGene("weight", low, high)


@pytest.mark.parametrize("choices", [(), ("a", "a")])
def test_choices_must_be_some_and_different(choices):
    with pytest.raises(ConfigurationError, match=r"'method' has (no choices|a choice twice)"):
        CategoryGene("method", choices)


@given(GENOMES, st.randoms())
@settings(deadline=None, max_examples=50)
def test_order_does_not_matter(values, random):
    names = list(values)
    random.shuffle(names)
    shuffled = Genome({name: values[name] for name in names})
    genome = Genome(values)
    assert genome == shuffled
    assert genome.hash == shuffled.hash
    assert hash(genome) == hash(shuffled)
    assert list(genome) == list(shuffled) == sorted(values)


@given(GENOMES)
@settings(deadline=None, max_examples=50)
def test_json_gives_the_same_genome_again(values):
    genome = Genome(values)
    again = Genome.from_json(genome.to_json())
    assert again == genome
    assert dict(again) == dict(genome) == values
    assert [type(again[name]) for name in again] == [type(genome[name]) for name in genome]


@given(GENOMES, GENOMES)
@settings(deadline=None, max_examples=50)
def test_different_content_different_identity(left, right):
    assert (Genome(left) == Genome(right)) == (canonical_json(dict(left)) == canonical_json(dict(right)))


def test_a_genome_is_what_it_is_in_every_process():
    genome = Genome({"weight/it": 0.1, "method": "ties", "dropped": 3, "normalize": True, "ä": -1e-300})
    program = (
        "from heterosis.core.genome import Genome\n"
        "print(Genome({'ä': -1e-300, 'normalize': True, 'dropped': 3, 'method': 'ties', 'weight/it': 0.1}).hash)"
    )
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PYTHONUTF8": "1"}
        printed = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert printed.stdout.strip() == genome.hash
    assert genome.hash == "c8cbf6d3986f814923fd0ea500196bcf081606195cccd37d1d99d6e0dc344680"


def test_zero_has_one_identity():
    assert Genome({"t": -0.0}) == Genome({"t": 0.0})


def test_a_genome_cannot_be_changed():
    values = {"weight": 0.5}
    genome = Genome(values)
    before = genome.hash
    values["weight"] = 0.7
    assert genome["weight"] == 0.5
    assert genome.hash == before
    with pytest.raises(TypeError):
        genome["weight"] = 0.7


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_must_be_finite(value):
    with pytest.raises(ConfigurationError, match=r"'weight'.*finite"):
        Genome({"weight": value})
    with pytest.raises(ValueError, match=r"JSON"):
        content_hash({"weight": value})
