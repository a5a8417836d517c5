"""A resident model is written under the names that checkpoints have, also where transformers joins what they store."""

import pytest
import torch
from heterosis.core.checkpoints import SourceSet
from heterosis.core.errors import MaterialiseError
from heterosis.core.executors import LiveExecutor, resident_model, write_model
from heterosis.core.executors.live import _by_stored_name
from heterosis.core.plan import plan
from heterosis.core.quiet import no_progress_bars
from heterosis.core.recipe import Recipe
from heterosis.testing.checkpoints import write_tiny, write_tiny_adapter
from heterosis.testing.tiny import FAMILIES, tiny_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.core_model_loading import Interleave, WeightConverter

MERGED = """
merge_method: ties
base_model: base
models: [one, lora]
parameters: {weight: [{module: mlp, value: 0.9}, {value: 0.4}], density: 0.7}
dtype: float32
out_dtype: %s
"""


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    """A base of each family, a fine-tune and an adapter of it."""
    folder = tmp_path_factory.mktemp(request.param)
    base = write_tiny(folder / "base", request.param)
    write_tiny(folder / "one", request.param, seed=1, change=0.3)
    write_tiny_adapter(folder / "lora", base, seed=2)
    return folder


def test_what_is_written_under_stored_names_is_what_is_saved(folder, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(folder / "base").requires_grad_(False)
    targets = _by_stored_name(model)
    stored = load_file(folder / "base" / "model.safetensors")
    assert set(stored) <= set(targets)
    for place, (name, tensor) in enumerate(stored.items()):
        assert torch.equal(targets[name], tensor), name
        targets[name].copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(place)))
    with no_progress_bars():
        model.save_pretrained(tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert set(saved) == set(stored)
    for place, (name, tensor) in enumerate(stored.items()):
        assert torch.equal(saved[name], torch.randn(tensor.shape, generator=torch.Generator().manual_seed(place))), name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_family_has_the_same_bits_live_and_on_disk(folder, dtype, tmp_path):
    planned = plan(Recipe.from_yaml(MERGED % dtype), SourceSet("base", ["one", "lora"], folder))
    live = LiveExecutor(resident_model(planned.template, getattr(torch, dtype)))
    assert live.materialise(planned) == len(planned.tensors)
    write_model(planned, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=getattr(torch, dtype)).eval()
    for (name, ours), theirs in zip(live.model.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    assert live.materialise(planned) == 0


def test_only_the_experts_that_changed_are_written(tmp_path):
    write_tiny(tmp_path / "base", "mixtral")
    write_tiny(tmp_path / "one", "mixtral", seed=1, change=0.3)
    sources = SourceSet("base", ["one"], tmp_path)
    text = "merge_method: task_arithmetic\nbase_model: base\nmodels: [one]\nparameters: {weight: %s}\n"
    live = LiveExecutor(resident_model(sources["base"], torch.float32))
    live.materialise(plan(Recipe.from_yaml(text % 0.5), sources))
    changed = "[{filter: layers.1.block_sparse_moe.experts.2, value: 0.9}, {value: 0.5}]"
    before = {name: tensor.clone() for name, tensor in live.model.state_dict().items()}
    assert live.materialise(plan(Recipe.from_yaml(text % changed), sources)) == 3
    for name, tensor in live.model.state_dict().items():
        same = (tensor == before[name]).flatten(1).all(1) if tensor.dim() == 3 else (tensor == before[name]).all()
        if name.startswith("model.layers.1.mlp.experts"):
            assert same.tolist() == [True, True, False, True], name
        else:
            assert same.all(), name


def test_what_is_rearranged_in_ways_that_no_view_shows_is_refused():
    model = tiny_model("llama")
    model._weight_conversions = [
        WeightConverter("self_attn.q_proj.weight", "self_attn.q_proj.weight", operations=[Interleave()])
    ]
    with pytest.raises(
        MaterialiseError, match=r"rearranges model.layers.0.self_attn.q_proj.weight when it loads a Llama"
    ):
        LiveExecutor(model)
