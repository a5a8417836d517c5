"""Recipes as mergekit configurations: conditions become filters, and what mergekit cannot express is refused."""

import pytest
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.errors import ConfigurationError
from heterosis.core.layout import layer_count, place_of
from heterosis.core.mergekit_conditions import without_conditions
from heterosis.core.mergekit_yaml import mergekit_yaml
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.core.settings import Rule, depth_of, value_for
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = [
    "model.embed_tokens.weight",
    *(
        f"model.layers.{layer}.{part}.weight"
        for layer in range(12)
        for part in ("input_layernorm", "self_attn.q_proj", "self_attn.k_norm", "mlp.down_proj", "mlp.up_proj")
    ),
    "model.norm.weight",
    "lm_head.weight",
]
SPANS = st.tuples(st.integers(0, 11), st.integers(1, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))
VALUES = st.one_of(st.floats(-2, 2), st.lists(st.floats(-2, 2), min_size=2, max_size=4).map(tuple))
RULES = st.builds(
    Rule,
    value=VALUES,
    layers=st.none() | SPANS,
    module=st.sampled_from([None, "attention", "mlp", "other"]),
    filter=st.sampled_from([None, "*", "proj", "norm", "layers.1.", "up_proj", "nowhere"]),
)


def values(setting):
    layers = layer_count(NAMES)
    return [value_for(setting, name, place_of(name), depth_of(place_of(name).layer, layers)) for name in NAMES]


@given(st.lists(RULES, min_size=1, max_size=4).map(tuple))
@settings(deadline=None, max_examples=100)
def test_filters_give_every_tensor_the_value_that_conditions_gave_it(setting):
    converted = without_conditions(setting, "weight", NAMES, stacked=False)
    assert all(rule.layers is None and rule.module is None for rule in converted)
    assert values(converted) == values(setting)


def test_filters_are_as_short_as_they_can_be():
    setting = (Rule(1, (3, 5)), Rule(2, (10, 12), "mlp"), Rule(3, module="attention"), Rule(4))
    filters = [rule.filter for rule in without_conditions(setting, "weight", NAMES, stacked=False)]
    assert filters == [
        "model.layers.3.",
        "model.layers.4.",
        "model.layers.10.mlp.",
        "model.layers.11.mlp.",
        ".self_attn.",
        None,
    ]


@pytest.fixture
def exported(checkpoints):
    """What becomes of a recipe over the shared checkpoints."""

    def text(content):
        recipe = Recipe.from_yaml(content)
        return mergekit_yaml(plan(recipe, SourceSet(recipe.base_model, recipe.references, checkpoints)))

    return text


def test_checkpoints_are_named_by_where_they_are(exported, checkpoints):
    found = Recipe.from_yaml(
        exported("merge_method: ties\nbase_model: base\nmodels: [one, lora-one]\nparameters: {weight: 1}\n")
    )
    assert found.base_model == str(checkpoints / "base")
    adapter = f"{checkpoints / 'base'}+{checkpoints / 'lora-one'}"
    assert [entry.model for entry in found.models] == [str(checkpoints / "one"), adapter]


def test_a_random_method_says_that_mergekit_draws_otherwise(exported):
    text = "merge_method: {}\nbase_model: base\nmodels: [one, two]\nparameters: {{weight: 1}}\n"
    assert "draws at random" in exported(text.format("dare_ties"))
    assert "draws at random" not in exported(text.format("ties"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "merge_method: tsv\nbase_model: base\nmodels: [one, two]\nparameters: {weight: 1}\n",
            "mergekit has no merge method 'tsv'",
        ),
        (
            "merge_method: passthrough\nslices: [{sources: [{model: one, layer_range: [0, 3]}]}]\n"
            "parameters: {scale: {layers: [0, 1], value: 0.5}}\n",
            "mergekit knows no values by `layers`.*give the slices values of their own",
        ),
    ],
)
def test_what_mergekit_cannot_express_is_refused_with_the_reason(text, message, exported):
    with pytest.raises(ConfigurationError, match=message):
        exported(text)


def test_the_exporter_leaves_what_is_there_alone(checkpoints, tmp_path):
    exporter = registry.load("exporters", "mergekit")()
    planned = plan(Recipe.from_yaml("merge_method: passthrough\nmodels: [one]\n"), SourceSet("one", [], checkpoints))
    exporter.write(planned, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mergekit.yaml"]
    with pytest.raises(ConfigurationError, match="exists already"):
        exporter.write(planned, tmp_path / "out")
