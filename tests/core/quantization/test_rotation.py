"""Rotations: orthogonal whatever the size, without effect on what a model says, and with less error in 4 bits."""

from dataclasses import replace

import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet, TensorInfo
from heterosis.core.contracts import Calibration
from heterosis.core.errors import ConfigurationError
from heterosis.core.executors import LiveExecutor, resident_model, write_model
from heterosis.core.executors.operands import Operands
from heterosis.core.executors.rotate import rotated_calibration
from heterosis.core.plan import plan
from heterosis.core.quantization.rotation import Rotation, hadamard_factors
from heterosis.core.quantize_space import Quantize
from heterosis.core.quiet import no_progress_bars
from heterosis.core.recipe import Recipe
from heterosis.core.rotate import FAMILIES
from heterosis.testing.tiny import tiny_model, tiny_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

TOKENS = torch.arange(1, 25).reshape(2, 12)


@given(st.integers(1, 200), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_rotation_of_any_size_is_orthogonal(size, seed):
    eye = torch.eye(size, dtype=torch.float64)
    matrix = Rotation("hadamard", size, seed).apply(eye)
    assert torch.allclose(matrix @ matrix.T, eye, atol=1e-12)


@pytest.mark.parametrize("size", [64, 576, 896, 960, 1536, 2560])
def test_sizes_of_real_models_are_spread_over_all_features(size):
    matrix = Rotation("hadamard", size, 0).apply(torch.eye(size))
    assert torch.allclose(matrix.abs(), torch.full_like(matrix, size**-0.5), rtol=1e-4)


def test_a_size_without_a_hadamard_matrix_is_spread_over_blocks():
    assert [len(factor) for factor in hadamard_factors(46)] == [23, 2]


def test_another_seed_is_another_rotation():
    one, other = (Rotation("hadamard", 48, seed).apply(torch.eye(48)) for seed in (0, 1))
    assert not torch.equal(one, other)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """`folder_of("qwen2", torch.float64)`: a checkpoint whose norms have gains, and whose biases are not 0."""

    def make(family, dtype, outliers=False, **overrides):
        model = tiny_model(family, **overrides)
        generator = torch.Generator().manual_seed(1)
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
            if outliers and name.split(".")[-2] in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"):
                parameter.data[:, [3, 17]] *= 20
        folder = tmp_path_factory.mktemp("rotated") / family
        with no_progress_bars():
            model.to(dtype).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return folder

    return make


def planned(folder, **quantize):
    content = {"merge_method": "passthrough", "models": [folder.name]}
    recipe = Recipe.from_dict(content | ({"quantize": quantize} if quantize else {}))
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    return plan(recipe, SourceSet(recipe.base_model, recipe.references, folder.parent))


def logits_of(model):
    with torch.inference_mode():
        return model(TOKENS).logits


def simulated(one, dtype=torch.float32):
    model = resident_model(one.template, dtype)
    LiveExecutor(model).materialise(one)
    return logits_of(model)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_without_levels_a_rotated_model_says_the_same(family, tied, folder_of):
    biases = {"attention_bias": True, "mlp_bias": True} if family == "llama" else {}
    folder = folder_of(family, torch.float32, tie_word_embeddings=tied, **biases)
    plain, turned = simulated(planned(folder)), simulated(planned(folder, rotation="hadamard"))
    assert not torch.equal(plain, turned)
    assert torch.allclose(plain, turned, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.parametrize("tied", [False, True])
def test_in_float64_it_does_so_but_for_the_norms_which_transformers_computes_in_float32(tied, folder_of):
    folder = folder_of("qwen3", torch.float32, tie_word_embeddings=tied)
    weights = {}
    for name, one in (("plain", planned(folder)), ("turned", planned(folder, rotation="hadamard"))):
        one = replace(one, tensors=tuple(in_float64(tensor) for tensor in one.tensors))
        model = resident_model(one.template, torch.float64)
        LiveExecutor(model).materialise(one)
        for module in model.modules():
            if type(module).__name__.endswith("RMSNorm"):
                module.forward = exact_norm(module)
        weights[name] = logits_of(model)
    scale = float(weights["plain"].abs().max())
    assert float((weights["plain"] - weights["turned"]).abs().max()) < 1e-6 * scale


def in_float64(tensor):
    info = TensorInfo(tensor.info.shape, torch.float64)
    rotate = tensor.rotate
    if rotate is not None and rotate.gain is not None:
        rotate = replace(rotate, gain=in_float64(rotate.gain))
    steps = tuple(replace(step, dtype=torch.float64) for step in tensor.steps)
    return replace(tensor, info=info, steps=steps, rotate=rotate)


def exact_norm(module):
    def forward(inputs):
        return module.weight * inputs / (inputs.square().mean(-1, keepdim=True) + module.variance_epsilon).sqrt()

    return forward


def test_a_resident_model_goes_there_and_back(folder_of):
    folder = folder_of("llama", torch.float32, tie_word_embeddings=True)
    plain, turned = planned(folder), planned(folder, rotation="hadamard")
    model = resident_model(plain.template, torch.float32)
    executor = LiveExecutor(model)
    executor.materialise(plain)
    before = logits_of(model)
    executor.materialise(turned)
    assert torch.equal(logits_of(model), simulated(turned))
    assert executor.materialise(turned) == 0
    executor.materialise(plain)
    assert torch.equal(logits_of(model), before)


def test_what_is_written_is_what_was_simulated(folder_of, tmp_path):
    folder = folder_of("qwen2", torch.bfloat16, tie_word_embeddings=True)
    turned = planned(folder, rotation="hadamard", levels={"qkv": "int4-g16", "head": "int8-g16"})
    write_model(turned, tmp_path / "out")
    with no_progress_bars():
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.bfloat16).eval()
    assert loaded.config.tie_word_embeddings is False
    assert torch.equal(logits_of(loaded), simulated(turned, torch.bfloat16))


def test_hashes_know_rotations_and_their_gains(folder_of):
    plain, turned = (planned(folder_of("llama", torch.float32), **more) for more in ({}, {"rotation": "hadamard"}))
    before = {tensor.name: tensor.hash for tensor in plain.tensors}
    changed = [tensor for tensor in turned.tensors if tensor.hash != before[tensor.name]]
    assert len(changed) == len(turned.tensors)
    reader = next(tensor for tensor in turned.tensors if tensor.name.endswith("q_proj.weight"))
    assert replace(reader, rotate=replace(reader.rotate, gain=None)).hash != reader.hash


def test_planted_outliers_cost_less_in_four_bits(folder_of):
    folder = folder_of("llama", torch.float32, outliers=True, hidden_size=64)
    exact = simulated(planned(folder))
    levels = dict.fromkeys(("qkv", "gate_up", "o_proj", "down_proj"), "int4-g16")
    plain = simulated(planned(folder, levels=levels))
    turned = simulated(planned(folder, levels=levels, rotation="hadamard"))
    assert float((turned - exact).square().mean()) < 0.7 * float((plain - exact).square().mean())


def test_calibration_turns_with_what_it_is_of(folder_of):
    turned = planned(folder_of("llama", torch.float32), rotation="hadamard")
    reader = next(tensor for tensor in turned.tensors if tensor.name.endswith("layers.1.mlp.up_proj.weight"))
    operands = Operands(turned.sources)
    gain = turned.sources[turned.recipe.references[0]].read(reader.rotate.gain.name)
    normed = torch.randn(200, 48, generator=torch.Generator().manual_seed(0))
    inputs = normed * gain
    known = Calibration(inputs.T @ inputs / 200, inputs.abs().amax(0))
    found = rotated_calibration(reader.rotate, known, operands)
    expected = reader.rotate.rotation.apply(normed)
    assert torch.allclose(found.gram, expected.T @ expected / 200, atol=1e-4)
    assert found.maxima is None
    writer = next(tensor for tensor in turned.tensors if tensor.name.endswith("down_proj.weight"))
    assert rotated_calibration(writer.rotate, known, operands) is known


@pytest.mark.parametrize("family", ["gemma3", "mixtral", "phi3", "gpt_neox"])
def test_other_families_are_refused_before_work(family, folder_of):
    with pytest.raises(ConfigurationError, match="cannot be rotated"):
        planned(folder_of(family, torch.float32), rotation="hadamard")


def test_an_unknown_rotation_is_refused_by_recipe_and_space():
    with pytest.raises(ConfigurationError, match="hadamard"):
        Recipe.from_dict({"merge_method": "linear", "models": ["one"], "quantize": {"rotation": "hadamar"}})
    with pytest.raises(ConfigurationError, match="hadamard"):
        Quantize(rotation="hadamar")
    assert Quantize(**Quantize(rotation="hadamard").to_dict()).rotation == "hadamard"


@pytest.mark.parametrize("exporter", ["compressed-tensors", "gguf"])
def test_exporters_write_the_rotated_weights(exporter, folder_of, tmp_path):
    plugin = registry.load("exporters", exporter)()
    folder = folder_of("llama", torch.bfloat16, hidden_size=64, intermediate_size=96, tie_word_embeddings=True)
    level = "int4-g32" if exporter == "compressed-tensors" else "q8_0"
    levels = dict.fromkeys(("qkv", "gate_up", "o_proj", "down_proj"), level)
    if exporter == "gguf":
        levels |= {"head": "q8_0", "embedding": "q8_0"}
    turned = planned(folder, rotation="hadamard", target=exporter, levels=levels)
    plugin.write(turned, tmp_path / "out")
    found, expected = logits_of(plugin.load(tmp_path / "out")), simulated(turned, torch.bfloat16)
    if plugin.exact:
        assert torch.equal(found, expected)
    assert torch.allclose(found.float(), expected.float(), atol=0.05 * float(expected.abs().max()))
