"""mergekit's own kinds of configuration give the same tensors here as in mergekit 0.1.5."""

import json

import pytest
import torch
from heterosis.testing.checkpoints import write_tiny
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.mergekit

CONFIGURATIONS = {
    "linear": """
merge_method: linear
models:
- {model: one, parameters: {weight: 1.0}}
- {model: two, parameters: {weight: [0.2, 0.5, 0.3]}}
dtype: float16
""",
    "linear with a base that is not listed": """
merge_method: linear
base_model: base
models:
- {model: one, parameters: {weight: 0.7}}
- {model: two, parameters: {weight: 0.5}}
parameters: {weight: 0.3, normalize: false}
dtype: float32
""",
    "slerp with gradients and filters, as slices": """
slices:
- sources:
  - {model: one, layer_range: [0, 3]}
  - {model: two, layer_range: [0, 3]}
merge_method: slerp
base_model: one
parameters:
  t:
  - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
  - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
  - {value: 0.5}
  embed_slerp: true
dtype: bfloat16
""",
    "ties": """
merge_method: ties
base_model: base
models:
- model: base
- {model: one, parameters: {density: [1, 0.7, 0.1], weight: 1.0}}
- {model: two, parameters: {density: 0.53, weight: [0, 0.3, 0.7, 1]}}
- model: three
  parameters:
    density: 0.33
    weight:
    - {filter: mlp, value: 0.5}
    - {value: 0}
parameters: {normalize: true, int8_mask: true}
dtype: float32
""",
    "dare_ties, nothing dropped": """
merge_method: dare_ties
base_model: base
models:
- {model: one, parameters: {density: 1.0, weight: 0.4}}
- {model: two, parameters: {density: 1.0, weight: [0.1, 0.9]}}
parameters: {int8_mask: true, lambda: 0.8}
dtype: float32
""",
    "task_arithmetic with lambda": """
merge_method: task_arithmetic
base_model: base
models:
- {model: one, parameters: {weight: 0.8}}
- {model: two, parameters: {weight: -0.4}}
parameters: {lambda: 1.3}
dtype: float32
out_dtype: bfloat16
""",
    "frankenmerge": """
slices:
- sources: [{model: one, layer_range: [0, 2]}]
- sources: [{model: two, layer_range: [1, 3]}]
- sources: [{model: one, layer_range: [2, 3]}]
merge_method: passthrough
dtype: float16
""",
    "blocks added that do nothing": """
slices:
- sources: [{model: one, layer_range: [0, 2]}]
- sources:
  - model: one
    layer_range: [1, 2]
    parameters:
      scale:
      - {filter: o_proj, value: 0.0}
      - {filter: down_proj, value: 0.0}
      - {value: 1.0}
- sources: [{model: one, layer_range: [2, 3]}]
merge_method: passthrough
""",
    "slices of several models, with parameters at every level": """
slices:
- sources:
  - {model: base, layer_range: [0, 2]}
  - {model: one, layer_range: [0, 2], parameters: {weight: [0.2, 0.9]}}
  - {model: two, layer_range: [1, 3]}
  parameters: {weight: {filter: mlp, value: 0.6}, lambda: 0.9}
  residual_weight: 0.5
- sources:
  - {model: three, layer_range: [0, 3]}
  - {model: one, layer_range: [0, 3], parameters: {weight: {filter: layers.1, value: 0.7}}}
  base_model: three
merge_method: task_arithmetic
base_model: base
parameters: {weight: [0.1, 0.5], normalize: false}
dtype: float32
""",
    "model_stock": """
merge_method: model_stock
base_model: base
models: [{model: one}, {model: two}, {model: three}]
dtype: float32
""",
    "nuslerp": """
merge_method: nuslerp
base_model: base
models:
- {model: one, parameters: {weight: 0.6}}
- {model: two, parameters: {weight: [0.1, 0.4]}}
parameters: {nuslerp_flatten: false}
dtype: float32
""",
    "nuslerp without a base": """
merge_method: nuslerp
models:
- {model: one, parameters: {weight: 0.6}}
- {model: two, parameters: {weight: 0.3}}
dtype: float32
""",
    "breadcrumbs": """
merge_method: breadcrumbs
base_model: base
models:
- {model: one, parameters: {weight: 0.6, density: 0.8, gamma: 0.05}}
- {model: two, parameters: {weight: 0.5, density: 0.9}}
dtype: float32
""",
    "one module": """
modules:
  default:
    slices:
    - sources:
      - {model: base, layer_range: [0, 3]}
      - {model: one, layer_range: [0, 3], parameters: {weight: {filter: q_proj, value: 0.9}}}
    parameters: {weight: {filter: self_attn, value: 0.3}}
merge_method: task_arithmetic
base_model: base
parameters: {weight: 0.6, lambda: 0.7}
dtype: float32
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Base and fine-tunes, in float32."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny(folder / "base")
    for seed, name in enumerate(("one", "two", "three"), start=1):
        write_tiny(folder / name, seed=seed, change=0.3)
    return folder


def with_paths(text, folder):
    for name in ("base", "one", "two", "three"):
        text = text.replace(f"model: {name}", f"model: {folder / name}")
    return text


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_same_yaml_same_tensors(configuration, folder, ours, theirs, check_equal):
    text = with_paths(CONFIGURATIONS[configuration], folder)
    (our_folder, our_tensors), (their_folder, their_tensors) = ours(text), theirs(text)
    check_equal(our_tensors, their_tensors)
    our_config, their_config = (json.loads((out / "config.json").read_text()) for out in (our_folder, their_folder))
    for key in ("num_hidden_layers", "vocab_size", "architectures", "model_type"):
        assert our_config[key] == their_config[key]


@pytest.mark.parametrize("stored", [(torch.bfloat16, torch.float32), (torch.float16, torch.bfloat16)])
def test_without_a_dtype_the_widest_stored_one_is_used(stored, tmp_path, ours, theirs, check_equal):
    write_tiny(tmp_path / "one", seed=1, change=0.3, dtype=stored[0])
    write_tiny(tmp_path / "two", seed=2, change=0.3, dtype=stored[1])
    text = with_paths("merge_method: linear\nmodels: [{model: one}, {model: two}]\nparameters: {weight: 1}\n", tmp_path)
    (_, our_tensors), (_, their_tensors) = ours(text), theirs(text)
    assert {tensor.dtype for tensor in our_tensors.values()} == {torch.float32}
    check_equal(our_tensors, their_tensors)


@pytest.mark.parametrize("family", ["phi3", "mistral", "qwen2", "qwen3", "gemma3"])
def test_a_stack_of_every_family(family, tmp_path, ours, theirs, check_equal):
    write_tiny(tmp_path / "one", family)
    write_tiny(tmp_path / "two", family, seed=2, change=0.3)
    text = with_paths(CONFIGURATIONS["frankenmerge"], tmp_path).replace("float16", "float32")
    our_folder, our_tensors = ours(text)
    if "layer_types" in json.loads((tmp_path / "one" / "config.json").read_text()):
        # mergekit leaves the config's list of layers at its old length, which transformers then refuses to write
        with pytest.raises(Exception, match="layer_types"):
            theirs(text)
        their_tensors = load_file(tmp_path / "theirs" / "model.safetensors")
    else:
        _, their_tensors = theirs(text)
    check_equal(our_tensors, their_tensors, steps=0, relative=0)
    AutoModelForCausalLM.from_pretrained(our_folder)
