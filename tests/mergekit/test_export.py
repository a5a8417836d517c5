"""A recipe, exported and run by mergekit, gives the model that we build from it."""

import json

import pytest
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.mergekit_yaml import mergekit_yaml
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.testing.checkpoints import write_tiny_adapter
from heterosis.testing.vocabularies import write_tiny_with_tokens

pytestmark = pytest.mark.mergekit

RECIPES = {
    "conditions by layers and module": """
merge_method: task_arithmetic
base_model: base
models:
- model: one
  parameters:
    weight:
    - {layers: [0, 2], module: attention, value: 0.3}
    - {layers: [1, 3], module: mlp, value: [0.1, 0.9]}
    - {module: mlp, filter: down_proj, value: 0.6}
    - {layers: [0, 1], filter: layernorm, value: 0.2}
    - {module: other, value: [0.7, 0.4]}
    - {value: 0.5}
- {model: two, parameters: {weight: [{layers: [2, 3], value: 0.8}, {value: 0.1}]}}
parameters: {lambda: [{module: attention, value: [0.5, 1.5]}, {value: 0.9}]}
dtype: float32
""",
    "an adapter": """
merge_method: task_arithmetic
base_model: base
models:
- {model: lora-one, parameters: {weight: 0.7}}
- {model: one, parameters: {weight: 0.4}}
dtype: float32
""",
    "random, nothing dropped": """
merge_method: della_linear
base_model: base
models: [{model: one}, {model: two}]
parameters: {weight: 0.5, density: 1.0, epsilon: 0.0}
dtype: float32
seed: 3
""",
    "slices": """
merge_method: task_arithmetic
base_model: base
slices:
- sources:
  - {model: base, layer_range: [0, 2]}
  - {model: one, layer_range: [1, 3], parameters: {weight: {module: attention, value: 0.9}}}
- sources: [{model: one, layer_range: [1, 3]}, {model: two, layer_range: [0, 2]}]
  base_model: two
  parameters: {weight: {filter: layers.1., value: 0.2}}
parameters: {weight: [{module: mlp, value: [0.2, 0.6]}, {value: 0.4}]}
dtype: float32
""",
    "a union of vocabularies": """
merge_method: linear
base_model: base
models:
- {model: base, parameters: {weight: 0.4}}
- {model: words, parameters: {weight: [{module: mlp, value: 0.9}, {value: 0.6}]}}
tokenizer:
  source: union
  tokens: {<|new|>: {source: {kind: model_token, model: words, token: <|one|>}}}
  pad_to_multiple_of: 8
chat_template: "{% for message in messages %}{{ message }}{% endfor %}"
dtype: float32
""",
}


@pytest.fixture
def folder(tmp_path, checkpoints):
    """Base and fine-tunes, an adapter, and a model with words of its own."""
    for name in ("base", "one", "two"):
        (tmp_path / name).symlink_to(checkpoints / name)
    adapter = write_tiny_adapter(tmp_path / "lora-one", checkpoints / "base", seed=1)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, "target_modules": "all-linear"}))
    write_tiny_with_tokens(tmp_path / "words", seed=5, added=["<|one|>"], swapped=[("a", "b")])
    return tmp_path


@pytest.fixture
def exported(folder):
    """The exporter's file for a recipe."""

    def write(text):
        recipe = Recipe.from_yaml(text)
        sources = SourceSet(recipe.base_model, recipe.references, folder)
        registry.load("exporters", "mergekit")().write(plan(recipe, sources), folder / "exported")
        return (folder / "exported" / "mergekit.yaml").read_text()

    return write


@pytest.mark.parametrize("recipe", RECIPES)
def test_mergekit_builds_the_same_model(recipe, exported, folder, ours, theirs, check_equal):
    text = exported(RECIPES[recipe])
    (_, built), (_, by_mergekit) = ours(RECIPES[recipe], folder), theirs(text)
    check_equal(built, by_mergekit)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_was_exported_is_a_recipe_too(recipe, exported, folder):
    original = Recipe.from_yaml(RECIPES[recipe])
    first, second = (
        plan(one, SourceSet(one.base_model, one.references, folder))
        for one in (original, Recipe.from_yaml(exported(RECIPES[recipe])))
    )
    assert [tensor.info for tensor in first.tensors] == [tensor.info for tensor in second.tensors]
    for left, right in zip(first.tensors, second.tensors, strict=True):
        assert (left.steps[0].per_source, left.steps[0].shared) == (right.steps[0].per_source, right.steps[0].shared)


def test_every_method_that_mergekit_has_can_be_exported(checkpoints):
    from mergekit.merge_methods.registry import registered_methods

    for method in registered_methods():
        plugin = registry.load("merge_methods", method.spec.name)
        count = plugin.source_count[0] if plugin.base_required else max(plugin.source_count[0], 1)
        recipe = Recipe.from_dict(
            {
                "merge_method": method.spec.name,
                "models": ["one", "two", "three"][:count],
                **({"base_model": "base"} if plugin.base_required else {}),
                "parameters": {spec.name: 0.5 for spec in plugin.parameters if spec.default is None},
            }
        )
        text = mergekit_yaml(plan(recipe, SourceSet(recipe.base_model, recipe.references, checkpoints)))
        assert f"merge_method: {method.spec.name}\n" in text
        assert ("draws at random" in text) == method.spec.name.startswith(("dare", "della"))
