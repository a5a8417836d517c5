"""float8 checkpoints: with scales they are read as what they stand for, without as they are; the packed are refused."""

import json
import shutil

import pytest
import torch
from heterosis.core.checkpoints import SourceSet, TensorInfo, open_checkpoint
from heterosis.core.checkpoints.float8 import Float8Scales
from heterosis.core.errors import CheckpointError
from heterosis.core.executors import LiveExecutor, resident_model, write_model
from heterosis.core.merge_space import Merge
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.core.space import Space
from heterosis.testing.checkpoints import write_tiny
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

BLOCK = (16, 32)
LAYOUTS = ("tensor", "row", "flat row", "block")
QUANTISED = "q_proj.weight", "v_proj.weight", "gate_proj.weight", "down_proj.weight"
TOKENS = torch.tensor([[1, 5, 40, 3, 77]])


def quantise(weight, layout):
    """float8 and the scale that it is to be multiplied by."""
    rows, columns = weight.shape
    blocks = {"tensor": (rows, columns), "block": BLOCK}.get(layout, (1, columns))
    stored, scales = torch.empty(rows, columns), []
    for top in range(0, rows, blocks[0]):
        scales.append([])
        for left in range(0, columns, blocks[1]):
            part = slice(top, top + blocks[0]), slice(left, left + blocks[1])
            scale = weight[part].abs().max() / 448
            stored[part] = weight[part] / scale
            scales[-1].append(scale)
    scale = torch.tensor(scales)
    shape = {"tensor": (), "flat row": (-1,)}.get(layout, scale.shape)
    return stored.to(torch.float8_e4m3fn), scale.reshape(shape)


def write_float8(directory, layout, seed=0, change=0.0):
    """A tiny Llama, its matrices quantised, as the usual tools lay it out."""
    write_tiny(directory, seed=seed, change=change)
    tensors = load_file(directory / "model.safetensors")
    for name in [name for name in tensors if name.endswith(QUANTISED)]:
        tensors[name], scale = quantise(tensors[name], layout)
        tensors[name + ("_scale_inv" if layout == "block" else "_scale")] = scale
        tensors[name.replace("weight", "input_scale")] = torch.ones(1)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    settings = {"quant_method": "fp8", "weight_block_size": list(BLOCK) if layout == "block" else None}
    change_config(directory, quantization_config=settings)
    return directory


def change_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_are_read_as_what_they_stand_for(layout, tmp_path):
    checkpoint = open_checkpoint(str(write_float8(tmp_path / "narrow", layout)))
    plain = open_checkpoint(str(write_tiny(tmp_path / "plain")))
    assert checkpoint.tensors.keys() == plain.tensors.keys()
    assert "quantization_config" not in checkpoint.config
    for name, info in checkpoint.tensors.items():
        read, original = checkpoint.read(name), plain.read(name)
        assert (tuple(read.shape), read.dtype) == (info.shape, info.dtype)
        if name.endswith(QUANTISED):
            assert info.dtype == torch.bfloat16
            error = (read.float() - original).abs()
            assert float((error / original.abs().clamp(min=1e-2)).max()) < 0.08, name  # e4m3 has three bits
            assert error.max() > 0
        else:
            assert torch.equal(read, original)


def test_the_product_is_rounded_once(tmp_path):
    checkpoint = open_checkpoint(str(write_float8(tmp_path / "narrow", "block")))
    stored = load_file(tmp_path / "narrow" / "model.safetensors")
    name = "model.layers.0.mlp.gate_proj.weight"
    scale = stored[name + "_scale_inv"].repeat_interleave(16, 0).repeat_interleave(32, 1)[:80, :48]
    assert torch.equal(checkpoint.read(name), (stored[name].float() * scale).bfloat16())


@pytest.mark.parametrize("layout", ["row", "block"])
def test_float8_base_and_source_merge_live_and_on_disk(layout, tmp_path):
    write_float8(tmp_path / "base", layout)
    write_float8(tmp_path / "one", "tensor", seed=1, change=0.3)
    write_tiny(tmp_path / "two", seed=2, change=0.3, dtype=torch.float16)
    space = Space("base", ["one", "two"], Merge("task_arithmetic"), tmp_path)
    assert space.out_dtype in ("float32", "bfloat16")
    recipe = Recipe.from_yaml(
        "merge_method: task_arithmetic\nbase_model: base\nmodels: [one, two]\nparameters: {weight: 0.4}\n"
        f"dtype: float32\nout_dtype: {space.out_dtype}\n"
    )
    planned = plan(recipe, space.checkpoints)
    live = LiveExecutor(resident_model(planned.template, getattr(torch, space.out_dtype)))
    live.materialise(planned)
    write_model(planned, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=getattr(torch, space.out_dtype)).eval()
    with torch.no_grad():
        assert torch.equal(live.model(TOKENS).logits, loaded(TOKENS).logits)
    ours = load_file(tmp_path / "out" / "model.safetensors")
    parts = {name: space.checkpoints[name] for name in ("base", "one", "two")}
    for name, tensor in ours.items():
        base, one, two = (part.read(name).float() for part in parts.values())
        torch.testing.assert_close(tensor.float(), base + 0.4 * (one - base) + 0.4 * (two - base), rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_without_scales_is_read_as_it_is(dtype, tmp_path):
    write_tiny(tmp_path / "base", dtype=torch.bfloat16)
    shutil.copytree(tmp_path / "base", tmp_path / "one")
    tensors = load_file(tmp_path / "base" / "model.safetensors")
    narrow = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    save_file(narrow, tmp_path / "one" / "model.safetensors", metadata={"format": "pt"})
    sources = SourceSet("base", ["one"], tmp_path)
    for reference, recipe in {
        "one": "merge_method: passthrough\nmodels: [one]\n",
        "both": "merge_method: linear\nmodels: [base, one]\nparameters: {weight: 1}\n",
    }.items():
        write_model(plan(Recipe.from_yaml(recipe), sources), tmp_path / f"out of {reference}")
        for name, tensor in load_file(tmp_path / f"out of {reference}" / "model.safetensors").items():
            assert tensor.dtype == torch.bfloat16
            halves = (tensors[name].float() + narrow[name].float()) / 2
            expected = narrow[name] if reference == "one" else halves
            assert torch.equal(tensor, expected.bfloat16()), name


def test_a_float8_base_without_scales_is_searched_in_bfloat16(tmp_path):
    write_tiny(tmp_path / "base")
    tensors = load_file(tmp_path / "base" / "model.safetensors")
    narrow = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in tensors.items()}
    save_file(narrow, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    write_tiny(tmp_path / "one", seed=1, change=0.3)
    space = Space("base", ["one"], Merge("linear"), tmp_path)
    assert space.out_dtype == "bfloat16"
    live = LiveExecutor(resident_model(space.checkpoints["base"], torch.bfloat16))
    live.materialise(plan(space.references()["base"], space.checkpoints))
    assert torch.equal(live.model.model.norm.weight, narrow["model.norm.weight"].bfloat16())


def test_plain_weights_with_what_a_quantised_run_left_in_the_config_are_read(tmp_path):
    write_tiny(tmp_path / "base", dtype=torch.bfloat16)
    change_config(tmp_path / "base", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    checkpoint = open_checkpoint(str(tmp_path / "base"))
    assert "quantization_config" not in checkpoint.config
    assert resident_model(checkpoint, torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("spoilt", ["packed", "without a scale", "with a scale of another shape"])
def test_what_cannot_be_read_is_refused_and_named(spoilt, tmp_path):
    directory = write_float8(tmp_path / "base", "row")
    tensors = load_file(directory / "model.safetensors")
    name = "model.layers.1.self_attn.v_proj.weight"
    if spoilt == "packed":
        tensors[name] = tensors[name].view(torch.uint8)
    elif spoilt == "without a scale":
        del tensors[f"{name}_scale"]
    else:
        tensors[f"{name}_scale"] = torch.ones(5, 1)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    why = {
        "packed": rf"is quantised \(fp8: {name}\); of such checkpoints, only those with float8 weights",
        "without a scale": rf"is quantised \(fp8: {name}\).*name the one that it was made from",
        "with a scale of another shape": rf"{name}_scale \[5, 1\] is neither one scale for {name} \[24, 48\], nor one",
    }
    with pytest.raises(CheckpointError, match=why[spoilt]):
        open_checkpoint(str(directory))


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1), (3, 5, 1), (3, 2, 2)])
def test_joined_experts_have_scales_of_their_own(shape, tmp_path):
    torch.manual_seed(0)
    weight, scale = torch.randn(3, 5, 6).to(torch.float8_e4m3fn), torch.rand(shape) + 0.5
    infos = {"w": TensorInfo((3, 5, 6), weight.dtype), "w_scale": TensorInfo(shape, scale.dtype)}
    config = {"quantization_config": {"weight_block_size": [3, 4]}}
    if len(shape) == 1:
        with pytest.raises(CheckpointError, match="neither"):
            Float8Scales(tmp_path, infos, config)
        return
    full = scale.repeat_interleave(3, 1).repeat_interleave(4, 2)[:, :5, :6] if shape == (3, 2, 2) else scale
    read = Float8Scales(tmp_path, infos, config).dequantised(weight, scale)
    assert torch.equal(read, (weight.float() * full).bfloat16())
