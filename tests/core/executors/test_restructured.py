"""Stacks of layers and common vocabularies: live, on disk and in the costs alike."""

import json

import pytest
import torch
from heterosis.core.checkpoints import SourceSet
from heterosis.core.executors import LiveExecutor, costs, resident_model, write_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.tiny import FAMILIES
from heterosis.testing.vocabularies import write_tiny_with_tokens
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

STACK = """
merge_method: passthrough
slices:
- sources: [{model: one, layer_range: [0, 2]}]
- sources: [{model: two, layer_range: [1, 3]}]
- sources: [{model: one, layer_range: [0, 1], parameters: {scale: {filter: down_proj, value: 0.0}}}]
"""
MERGED_STACK = """
merge_method: ties
base_model: base
slices:
- sources:
  - {model: base, layer_range: [0, 2]}
  - {model: one, layer_range: [1, 3], parameters: {weight: [0.3, 0.7]}}
- sources:
  - {model: two, layer_range: [0, 1]}
  - {model: one, layer_range: [2, 3]}
  base_model: two
parameters: {weight: 0.5, density: 0.6}
dtype: float32
"""
VOCABULARY = """
merge_method: task_arithmetic
base_model: base
models:
- {model: words-one, parameters: {weight: 0.7}}
- {model: words-two, parameters: {weight: 0.4}}
tokenizer: {source: union, pad_to_multiple_of: 16}
"""


@pytest.fixture(scope="module")
def everything(checkpoints, tmp_path_factory):
    """The shared checkpoints, and two with other vocabularies."""
    folder = tmp_path_factory.mktemp("vocabularies")
    for name in ("base", "one", "two"):
        (folder / name).symlink_to(checkpoints / name)
    write_tiny_with_tokens(folder / "words-one", seed=1, added=["<|one|>", "<|both|>"])
    write_tiny_with_tokens(folder / "words-two", seed=2, added=["<|both|>"], swapped=[("a", "b")], spare_rows=3)
    return SourceSet("base", ["one", "two", "words-one", "words-two"], folder)


def check_live_equals_disk(planned, out):
    """Builds the plan both ways; returns the loaded model."""
    dtype = planned.tensors[0].info.dtype
    executor = LiveExecutor(resident_model(planned.template, dtype, config=planned.config))
    executor.materialise(planned)
    write_model(planned, out)
    tensors = load_file(out / "model.safetensors")
    loaded = AutoModelForCausalLM.from_pretrained(out).eval()
    live, written = executor.model.state_dict(), loaded.state_dict()
    assert live.keys() == written.keys()
    assert all(torch.equal(live[name], written[name]) for name in live)
    tokens = torch.tensor([[1, 5, 40, 3, 77]])
    with torch.no_grad():
        assert torch.equal(executor.model(tokens).logits, loaded(tokens).logits)
    cost = costs(planned)
    assert cost.bytes == sum(tensor.nbytes for tensor in tensors.values())
    assert cost.parameters == sum(tensor.numel() for tensor in tensors.values())
    assert executor.materialise(planned) == 0
    return loaded


@pytest.mark.parametrize(("text", "layers"), [(STACK, 5), (MERGED_STACK, 3)])
def test_a_stack(text, layers, everything, tmp_path):
    model = check_live_equals_disk(plan(Recipe.from_yaml(text), everything), tmp_path / "out")
    assert model.config.num_hidden_layers == layers


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stack_of_every_family(family, tmp_path):
    write_tiny(tmp_path / "one", family)
    write_tiny(tmp_path / "two", family, seed=1, change=0.3)
    recipe = Recipe.from_yaml(STACK.split("- sources: [{model: one, layer_range: [0, 1]")[0])
    planned = plan(recipe, SourceSet("one", ["two"], tmp_path))
    model = check_live_equals_disk(planned, tmp_path / "out")
    assert model.config.num_hidden_layers == 4
    if "layer_types" in planned.template.config:
        before = planned.template.config["layer_types"]
        assert model.config.layer_types == [*before[:2], *before[1:]]


def test_layers_come_from_where_the_slices_say(everything):
    tensors = {tensor.name: tensor for tensor in plan(Recipe.from_yaml(STACK), everything).tensors}
    query = "model.layers.{}.self_attn.q_proj.weight"
    read = [tensors[query.format(layer)].steps[0].sources[0] for layer in range(5)]
    origins = [("one", 0), ("one", 1), ("two", 1), ("two", 2), ("one", 0)]
    assert read == [(model, query.format(layer)) for model, layer in origins]
    assert tensors["model.layers.4.mlp.down_proj.weight"].steps[0].per_source == {"scale": (0.0,)}
    assert tensors["model.layers.0.mlp.down_proj.weight"].steps[0].per_source == {"scale": (1.0,)}


def test_a_common_vocabulary(everything, tmp_path):
    planned = plan(Recipe.from_yaml(VOCABULARY), everything)
    model = check_live_equals_disk(planned, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (len(tokenizer), model.config.vocab_size) == (386, 400)
    assert tokenizer("<|both|>", add_special_tokens=False).input_ids == [tokenizer.get_vocab()["<|both|>"]]


def test_what_becomes_of_each_vocabulary_is_told_before_the_run(everything):
    changes = {change.reference: change for change in plan(Recipe.from_yaml(VOCABULARY), everything).vocabulary.changes}
    assert (changes["base"].rows, changes["base"].added) == (384, ("<|one|>", "<|both|>"))
    assert (changes["words-one"].moved, changes["words-one"].added, changes["words-one"].dropped) == (0, (), ())
    two = changes["words-two"]
    assert (two.rows, two.moved, two.added, two.dropped) == (388, 3, ("<|one|>",), ())
    base = plan(Recipe.from_yaml(VOCABULARY.replace("source: union", "source: base")), everything).vocabulary
    assert {change.reference: change.dropped for change in base.changes} == {
        "base": (),
        "words-one": ("<|one|>", "<|both|>"),
        "words-two": ("<|both|>",),
    }


def test_plans_with_one_policy_share_what_is_read(everything):
    first, second = (plan(Recipe.from_yaml(VOCABULARY + f"seed: {seed}\n"), everything) for seed in (1, 2))
    assert first.sources is second.sources is everything
    embeddings = [next(t for t in one.tensors if "embed" in t.name).steps[0] for one in (first, second)]
    assert embeddings[0].sources == embeddings[1].sources
    other = plan(Recipe.from_yaml(VOCABULARY.replace("16", "32")), everything)
    assert next(t for t in other.tensors if "embed" in t.name).steps[0].sources != embeddings[0].sources


def test_a_policy_that_moves_nothing_reads_the_checkpoints_as_they_are(everything, tmp_path):
    text = "merge_method: linear\nmodels: [one, two]\nparameters: {weight: 1}\n"
    plain, policy = (plan(Recipe.from_yaml(text + more), everything) for more in ("", "tokenizer_source: union\n"))
    assert policy.tensors == plain.tensors
    write_model(policy, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == 384
