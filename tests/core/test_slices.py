"""Slices, modules and tokenizer policies are read as mergekit writes them, and what cannot be built is named."""

import pytest
from heterosis.core.checkpoints import SourceSet
from heterosis.core.errors import CheckpointError, ConfigurationError
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe, RecipeSlice, SliceSource
from heterosis.core.settings import Rule
from heterosis.core.tokenizer_policy import TokenizerPolicy, TokenSource
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.vocabularies import write_tiny_with_tokens

STACK = "merge_method: passthrough\nslices:\n- sources: [{model: one, layer_range: [0, 2]}]\n"
UP = "model.layers.{}.mlp.up_proj.weight"


@pytest.fixture
def planned(checkpoints):
    """Plans a recipe over the shared checkpoints."""
    sources = SourceSet("base", ["one", "two"], checkpoints)
    return lambda text: plan(Recipe.from_yaml(text), sources)


def weights(planned):
    return {tensor.name: tensor.steps[0].per_source["weight"] for tensor in planned.tensors}


def test_slices_are_read_and_written_again():
    text = """
merge_method: slerp
base_model: one
slices:
- sources:
  - {model: one, layer_range: [0, 2]}
  - model: {model: {path: owner/two, revision: main}, lora: adapter}
    layer_range: [1, 3]
    parameters: {weight: 0.5}
  base_model: owner/two
  parameters: {t: [0, 1]}
  residual_weight: 0.1
"""
    recipe = Recipe.from_yaml(text)
    sources = (SliceSource("one", (0, 2)), SliceSource("owner/two@main+adapter", (1, 3), {"weight": (Rule(0.5),)}))
    assert recipe.slices == (RecipeSlice(sources, "owner/two", {"t": (Rule((0, 1)),)}),)
    assert recipe.references == ["one", "owner/two", "owner/two@main+adapter"]
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


def test_one_module_is_the_model():
    text = "modules: {default: {models: [one], parameters: {weight: {filter: mlp, value: 1}}}}\n"
    recipe = Recipe.from_yaml(f"merge_method: linear\n{text}parameters: {{weight: 0.5, normalize: false}}\n")
    assert [entry.model for entry in recipe.models] == ["one"]
    assert recipe.parameters == {"weight": (Rule(1, filter="mlp"), Rule(0.5)), "normalize": (Rule(False),)}


def test_a_policy_is_read_and_written_again():
    text = """
merge_method: linear
models: [one, two]
tokenizer:
  source: base
  pad_to_multiple_of: 64
  tokens:
    a: {source: two, force: true}
    b: {source: {kind: zero}}
    c: {source: {kind: model_token, model: three, token: x}}
    d: {source: {kind: model_token, model: one, token_id: 0}}
"""
    recipe = Recipe.from_yaml(text)
    tokens = {
        "a": TokenSource("two", force=True),
        "b": TokenSource(None),
        "c": TokenSource("three", token="x"),
        "d": TokenSource("one", token_id=0),
    }
    assert recipe.tokenizer == TokenizerPolicy("base", tuple(tokens.items()), 64)
    assert (recipe.merged, recipe.references) == (["one", "two"], ["one", "two", "three"])
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    short = Recipe.from_yaml("merge_method: linear\nmodels: [one]\ntokenizer_source: two\n")
    assert (short.tokenizer, short.to_dict()["tokenizer_source"]) == (TokenizerPolicy("two"), "two")


def test_gradients_run_along_each_slice(planned):
    text = """
merge_method: linear
slices:
- sources: [{model: one, layer_range: [0, 3]}]
- sources: [{model: two, layer_range: [1, 3]}]
- sources: [{model: one, layer_range: [2, 3]}]
parameters: {weight: [0.0, 1.0], normalize: false}
"""
    found = weights(planned(text))
    assert [found[UP.format(layer)] for layer in range(6)] == [(0.0,), (0.5,), (1.0,), (0.0,), (1.0,), (1.0,)]
    assert (found["model.embed_tokens.weight"], found["lm_head.weight"]) == ((0.0,), (0.0,))


def test_a_filter_sees_the_layer_that_a_source_has(planned):
    text = """
merge_method: linear
slices:
- sources: [{model: one, layer_range: [2, 3], parameters: {weight: [{filter: layers.2., value: 2}, {value: 1}]}}]
"""
    assert weights(planned(text))[UP.format(0)] == (2.0,)


def test_a_base_that_no_source_is_goes_into_methods_without_one(planned):
    text = "merge_method: linear\nbase_model: base\nmodels: [one, two]\nparameters: {weight: 1}\n"
    assert weights(planned(text))["lm_head.weight"] == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (STACK + "models: [one]\n", "`models` or `slices`, not both"),
        ("merge_method: passthrough\nslices: [{}]\n", "a slice must list its `sources`"),
        (STACK.replace("layer_range", "layers_range"), "unknown key 'layers_range'. Did you mean 'layer_range'"),
        (STACK.replace("[0, 2]", "2"), "one: `layer_range` must be two whole numbers, not 2"),
        (STACK.replace("[0, 2]", "[2, 0]"), r"one: the `layer_range` \[2, 0\] is upside down or empty"),
        (STACK.replace("model: one", "model: 3"), "`model` of a slice's source must name a checkpoint, not 3"),
        (
            STACK.replace("}]", "}, {model: two, layer_range: [0, 1]}]"),
            r"equally many layers, not \[0, 2\] of one, \[0, 1\] of two",
        ),
        (STACK + "modules: {a: {models: [one]}}\n", "`modules` is read with one module in it and without"),
        ("merge_method: linear\nmodules: {a: {models: [b]}, c: {models: [d]}}\n", "it has a, c"),
        (STACK + "tokenizer_source: union\ntokenizer: {}\n", "`tokenizer_source` or `tokenizer`, not both"),
        (STACK + "tokenizer: {sauce: union}\n", "unknown key 'sauce'. Did you mean 'source'"),
        (STACK + "tokenizer: {pad_to_multiple_of: 0}\n", "`pad_to_multiple_of` must be a whole number of at least 1"),
        (STACK + "tokenizer: {tokens: {a: {}}}\n", "'a': `source` must name a checkpoint, not None"),
        (STACK + "tokenizer: {tokens: {a: {source: {kind: one}}}}\n", "`zero` or `model_token`, not 'one'"),
        (
            STACK + "tokenizer: {tokens: {a: {source: {kind: model_token, model: one}}}}\n",
            "give either `token` or `token_id`",
        ),
        (STACK + "chat_template: 3\n", "`chat_template` must be text, not 3"),
    ],
)
def test_what_is_no_recipe_says_where_and_what_instead(text, message):
    with pytest.raises(ConfigurationError, match=rf"recipe.*{message}"):
        Recipe.from_yaml(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (STACK.replace("[0, 2]", "[2, 4]"), r"one has 3 layers; a slice of it wants \[2, 4\]"),
        (
            STACK.replace("passthrough", "ties\nbase_model: base") + "parameters: {weight: 1}\n",
            "the base 'base' is not among the sources of the slice that gives the layers from 0 on; add it",
        ),
        (STACK.replace("passthrough", "ties") + "parameters: {weight: 1}\n", "ties needs a `base_model`"),
        (STACK.replace("}]", "}, {model: two, layer_range: [0, 2]}]"), r"passthrough merges 1 model\(s\), not 2"),
        (
            STACK + "tokenizer: {tokens: {a: {source: two, force: true}}}\n",
            "'two', which is not merged; merged are one",
        ),
        (
            STACK + "tokenizer: {tokens: {a: {source: {kind: model_token, model: one, token: nope}, force: true}}}\n",
            "taken from one, which has no token 'nope'",
        ),
        (
            STACK + "tokenizer: {tokens: {a: {source: {kind: model_token, model: one, token_id: 999}, force: true}}}\n",
            "one has no token 999",
        ),
    ],
)
def test_what_cannot_be_planned_is_named(text, message, planned):
    with pytest.raises(ConfigurationError, match=message):
        planned(text)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({"added": ["<new>"]}, "lm_head.weight has 384 tokens in base, 385 tokens in other"),
        ({"swapped": [("a", "b")]}, "'[ab]' is another token in other than in base"),
    ],
)
def test_differing_vocabularies_without_a_policy_name_the_policies(tokens, message, checkpoints, tmp_path):
    (tmp_path / "base").symlink_to(checkpoints / "base")
    write_tiny_with_tokens(tmp_path / "other", **tokens)
    text = "merge_method: linear\nmodels: [base, other]\nparameters: {weight: 1}\n"
    with pytest.raises(CheckpointError, match=rf"vocabularies differ.*{message}.*`tokenizer_source: union`.*`base`"):
        plan(Recipe.from_yaml(text), SourceSet(None, ["base", "other"], tmp_path))


def test_a_token_that_only_one_has_in_a_spare_row_is_no_difference(tmp_path):
    write_tiny_with_tokens(tmp_path / "base", spare_rows=1)
    write_tiny_with_tokens(tmp_path / "other", added=["<new>"])
    text = "merge_method: linear\nmodels: [base, other]\nparameters: {weight: 1}\n"
    assert plan(Recipe.from_yaml(text), SourceSet(None, ["base", "other"], tmp_path)).vocabulary is None


def test_every_misfit_is_told_when_a_recipe_is_planned(checkpoints, tmp_path):
    (tmp_path / "base").symlink_to(checkpoints / "base")
    write_tiny(tmp_path / "qwen", "qwen3")
    write_tiny_with_tokens(tmp_path / "deep", num_hidden_layers=4, intermediate_size=96)
    sources = SourceSet(None, ["base", "qwen", "deep"], tmp_path)
    text = "merge_method: linear\nmodels: [base, {}]\nparameters: {{weight: 1}}\n"
    with pytest.raises(CheckpointError, match="qwen is a Qwen3ForCausalLM, base is a LlamaForCausalLM"):
        plan(Recipe.from_yaml(text.format("qwen")), sources)
    with pytest.raises(CheckpointError) as raised:
        plan(Recipe.from_yaml(text.format("deep")), sources)
    assert "deep: model.layers.0.mlp.down_proj.weight is [48, 96], not [48, 80], " in str(raised.value)
    assert "deep has model.layers.3." in str(raised.value)
