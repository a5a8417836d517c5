"""Sensitivities: as measured by perturbation, up to the order of magnitude; kept; larger for smaller levels."""

import heterosis as ht
import numpy as np
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.fitness.perturbation import perturbed
from heterosis.fitness.sensitivity import sensitivities
from scipy.stats import spearmanr

TEXTS = ["the cat sat on the mat and looked at the dog " * 4, "one two three four five six seven"]


@pytest.fixture
def space(tmp_path, checkpoints, monkeypatch):
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))

    def make(levels=("int2-g16", "int4-g16", "int8-g16"), calibration=None, **options):
        quantize = ht.Quantize(levels=list(levels), calibration=calibration, **options)
        sources = [str(checkpoints / name) for name in ("one", "two")]
        return ht.Space(str(checkpoints / "base"), sources, ht.Merge("linear"), tmp_path, quantize)

    return make


def middle(space):
    low, high = space.genes.bounds()
    return space.genes.decode((low + high) / 2)


@pytest.mark.parametrize("calibration", [None, "texts.txt"])
def test_estimates_agree_with_what_is_measured(space, calibration):
    levels = ["int2-g16", "int4-g16", "int8-g16", *(["gptq:int2-g16", "gptq:int4-g16"] if calibration else [])]
    made = space(levels, calibration)
    estimated = sensitivities(made, middle(made), TEXTS)
    measured = perturbed(made, middle(made), TEXTS)
    assert {gene: set(found) for gene, found in estimated.items()} == {
        gene: set(choices) for gene, choices in made.levels.costs.costs.items()
    }
    pairs = [(estimated[gene][label], measured[gene][label]) for gene in estimated for label in estimated[gene]]
    assert spearmanr(*zip(*pairs, strict=True))[0] > 0.85
    plain = [
        np.log(estimated[gene][label] / measured[gene][label])
        for gene in estimated
        for label in ("int2-g16", "int4-g16")
    ]
    assert abs(np.median(plain)) < np.log(2)


def test_a_weight_that_stays_costs_nothing_and_smaller_levels_cost_more(space):
    made = space(["int2-g16", "int8-g16", "none"], budget={"bits": 9.5})
    found = sensitivities(made, middle(made), TEXTS)
    for of_gene in found.values():
        assert of_gene["none"] == 0.0 < of_gene["int8-g16"] < of_gene["int2-g16"]


def test_it_is_computed_once(space, monkeypatch):
    made = space()
    found = sensitivities(made, middle(made), TEXTS)

    def never(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr("heterosis.fitness.sensitivity.built", never)
    assert sensitivities(space(), middle(made), TEXTS) == found
    for other in (lambda: sensitivities(made, middle(made), TEXTS[:1]), lambda: other_merge(made)):
        with pytest.raises(AssertionError, match="computed again"):
            other()


def other_merge(space):
    low, _ = space.genes.bounds()
    return sensitivities(space, space.genes.decode(low + 0.1), TEXTS)


def test_a_space_without_levels_has_none(checkpoints, tmp_path):
    plain = ht.Space(str(checkpoints / "base"), [str(checkpoints / "one")], ht.Merge("linear"), tmp_path)
    with pytest.raises(ConfigurationError, match="no `quantize`"):
        sensitivities(plain, middle(plain), TEXTS)


def test_steps_are_told(space):
    made, said = space(), []
    sensitivities(made, middle(made), TEXTS, progress=lambda what, done, whole: said.append((what, done, whole)))
    assert all(0 <= done <= whole for _, done, whole in said)
    assert said[-1][1] == said[-1][2]
    assert len({what for what, _, _ in said}) > 2
