"""A search space opens its checkpoints, decodes genomes to recipes that can be planned, and knows what to beat."""

import pytest
import torch
from heterosis.core.errors import CheckpointError, ConfigurationError
from heterosis.core.genome import Genome
from heterosis.core.merge_space import Merge
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.core.space import Space
from heterosis.testing.checkpoints import write_tiny
from hypothesis import given, settings
from hypothesis import strategies as st

SPACES = {
    "one method": Merge("ties", weight=(0.0, 1.5)),
    "by layers and module": Merge("dare_ties", groups="layers:2", by_module=True),
    "several methods": Merge(["ties", "slerp", "linear"], groups="layers:1"),
}
GOOD = {"base": "base", "sources": ["one", "two"], "merge": {"method": "ties"}}


@pytest.mark.parametrize("kind", SPACES)
def test_every_genome_decodes_to_a_recipe_that_can_be_planned_and_written_down(kind, checkpoints):
    space = Space("base", ["one", "two"], SPACES[kind], checkpoints)

    @given(st.lists(st.floats(0, 1), min_size=len(space.genes), max_size=len(space.genes)))
    @settings(deadline=None, max_examples=8)
    def check(shares):
        low, high = space.genes.bounds()
        genome = space.genes.decode(low + (high - low) * shares)
        recipe = space.decode(genome, seed=3)
        assert Recipe.from_yaml(recipe.to_yaml()) == recipe
        assert space.decode(space.genes.decode(space.genes.encode(genome)), seed=3) == recipe
        assert {tensor.name for tensor in plan(recipe, space.checkpoints).tensors} == set(
            space.checkpoints["base"].tensors
        )

    check()


def test_genes_follow_the_depth_of_the_base(checkpoints):
    space = Space("base", ["one"], Merge("linear", groups="layers:2"), checkpoints)
    assert [gene.name for gene in space.genes] == ["weight/one/layers 0-1", "weight/one/layers 2-2", "weight/one"]


def test_a_genome_of_another_space_is_refused(checkpoints):
    space = Space("base", ["one"], Merge("linear"), checkpoints)
    with pytest.raises(ConfigurationError, match=r"'weight/two', which is not an active gene"):
        space.decode(Genome({"weight/one": 0.5, "weight/two": 0.5}))


@pytest.mark.parametrize("sources", [["one"], ["one", "two"]])
def test_slerp_plans_with_one_source_and_with_two(sources, checkpoints):
    space = Space("base", sources, Merge("slerp"), checkpoints)
    recipe = space.decode(Genome({"t": 0.25}))
    (step,) = plan(recipe, space.checkpoints).tensors[0].steps
    read = [operand.checkpoint for operand in (step.base, *step.sources)]
    assert read == (["base", "one"] if len(sources) == 1 else ["one", "two"])


def test_slerp_with_three_sources_is_refused_at_once(tmp_path):
    with pytest.raises(ConfigurationError, match=r"slerp cannot merge 3 source\(s\)"):
        Space("base", ["one", "two", "three"], Merge("slerp"), tmp_path)


def test_what_must_be_beaten(checkpoints):
    space = Space("base", {"a": "one", "b": "lora-one"}, Merge("ties"), checkpoints)
    references = space.references()
    assert list(references) == ["base", "a", "b", "uniform average"]
    read = {label: plan(recipe, space.checkpoints) for label, recipe in references.items()}
    steps = {label: read[label].tensors[0].steps[0] for label in read}
    merged = {label: [operand.checkpoint for operand in step.sources] for label, step in steps.items()}
    assert merged == {"base": ["base"], "a": ["one"], "b": ["lora-one"], "uniform average": ["one", "lora-one"]}
    assert (steps["uniform average"].method, steps["uniform average"].per_source) == ("linear", {"weight": (1.0, 1.0)})


def test_one_source_needs_no_average(checkpoints):
    assert list(Space("base", ["one"], Merge("ties"), checkpoints).references()) == ["base", "one"]


def test_models_are_built_in_the_dtype_of_the_base(checkpoints, tmp_path):
    assert Space("base", ["one"], Merge("ties"), checkpoints).out_dtype == "float32"
    write_tiny(tmp_path / "half", dtype=torch.bfloat16)
    space = Space("half", {"one": "half"}, Merge("linear"), tmp_path)
    assert space.decode(Genome({"weight/one": 1.0})).out_dtype == "bfloat16"


def test_labels_are_the_last_part_of_a_path():
    space = Space("base", ["experts/math/", "hub:owner/it@abc", "./de.gguf"], Merge("ties"))
    assert space.labelled == {"math": "experts/math/", "it": "hub:owner/it@abc", "de.gguf": "./de.gguf"}


def test_two_sources_of_one_label_are_refused():
    with pytest.raises(ConfigurationError, match=r"two sources would be called 'it'; give `sources` as a mapping"):
        Space("base", ["a/it", "b/it"], Merge("ties"))
    assert set(Space("base", {"x": "a/it", "y": "b/it"}, Merge("ties")).labelled) == {"x", "y"}


def test_a_dictionary_gives_the_same_space_again(checkpoints):
    content = {**GOOD, "merge": {"method": ["ties", "slerp"], "groups": "layers:2", "weight": [0.0, 1.5]}}
    space = Space.from_dict(content, checkpoints)
    again = Space.from_dict(space.to_dict(), checkpoints)
    assert again.to_dict() == space.to_dict()
    assert again.genes.genes == space.genes.genes


def test_alternatives_of_the_base_may_be_listed(checkpoints):
    space = Space.from_dict({**GOOD, "base": ["nowhere", "base"]}, checkpoints)
    assert space.checkpoints[space.base].directory == checkpoints / "base"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bass": "base"}, "space: unknown key 'bass'. Did you mean 'base'"),
        ({"base": None}, "`base` is missing"),
        ({"sources": []}, "`sources` is missing"),
        ({"merge": "ties"}, "`merge` must be a mapping with at least `method`"),
        ({"merge": {"groups": "model"}}, "`merge` must be a mapping with at least `method`"),
        ({"merge": {"method": "ties", 3: 4}}, "`merge` must be a mapping"),
        ({"base": 3}, "`base` must be a reference, or a list of alternatives"),
        ({"base": ["base", 3]}, "`base` must be a reference, or a list of alternatives"),
        ({"sources": "one"}, "`sources` must be a list of references"),
        ({"sources": [1]}, "`sources` must be a list of references"),
        ({"sources": {"one": 1}}, "`sources` must be a list of references"),
        ({"sources": {1: "one"}}, "`sources` must be a list of references"),
    ],
)
def test_what_is_no_space_is_refused(change, message):
    with pytest.raises(ConfigurationError, match=message):
        Space.from_dict({**GOOD, **change})


def test_a_missing_checkpoint_is_named_when_the_space_is_opened(checkpoints):
    space = Space("base", ["oen"], Merge("ties"), checkpoints)
    with pytest.raises(CheckpointError, match=rf"there is no checkpoint at {checkpoints / 'oen'}"):
        _ = space.genes, space.checkpoints
