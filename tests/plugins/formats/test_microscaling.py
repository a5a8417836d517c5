"""MXFP4, MXFP8 and NVFP4: equal to compressed-tensors and to gguf bit for bit."""

from __future__ import annotations

import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization.quant_scheme import QuantizationScheme, preset_name_to_scheme
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from heterosis.core.errors import ConfigurationError
from heterosis.core.quantization.level import format_of
from heterosis.core.quantized_tensor import QuantizedTensor
from hypothesis import given, settings
from hypothesis import strategies as st

LABELS = ["mxfp4", "mxfp4_ocp", "mxfp8", "nvfp4"]
ENGINES = {
    "mxfp4": ("MXFP4A16", "mxfp4-pack-quantized"),
    "mxfp8": ("MXFP8A16", "mxfp8-quantized"),
    "nvfp4": ("NVFP4A16", "nvfp4-pack-quantized"),
}


def a_weight(dtype: torch.dtype = torch.bfloat16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(48, 384, generator=generator) * torch.logspace(-6, 2, 48)[:, None]
    weight[3, :128] = 0
    weight[4, :32] = -0.0
    # every multiple of 1/8 up to 8 (all ties among them), and blocks whose largest is 1.75 times a power of two
    weight[5, :128] = torch.arange(-64, 64) / 8
    weight[6] = weight[6].clamp(-1.75, 1.75)
    weight[6, ::16] = 1.75
    weight[7] = weight[7].clamp(-1.74, 1.74)
    weight[7, ::16] = -1.7421875
    return weight.to(dtype)


def quantized(label: str, weight: torch.Tensor) -> QuantizedTensor:
    form = format_of(label)
    return form.encode(form.fit(weight.float(), dtype=weight.dtype), weight.float())


def compressed(label: str, weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What compressed-tensors stores, and what it makes of it when it loads it."""
    preset, name = ENGINES[label]
    scheme: QuantizationScheme = preset_name_to_scheme(preset, ["Linear"])
    assert scheme.weights is not None
    assert scheme.weights.group_size is not None
    low, high = weight.unflatten(1, (-1, scheme.weights.group_size)).aminmax(dim=-1)
    state = {"weight": weight}
    if label == "nvfp4":
        state["weight_global_scale"] = generate_gparam(weight.amin(), weight.amax())
    state["weight_scale"], state["weight_zero_point"] = calculate_qparams(
        low, high, scheme.weights, state.get("weight_global_scale")
    )
    compressor = BaseCompressor.get_value_from_registry(name)
    stored = compressor.compress(state, scheme)
    return stored, compressor.decompress(dict(stored), scheme)["weight"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("label", ENGINES)
def test_codes_scales_and_values_are_those_of_compressed_tensors(label: str, dtype: torch.dtype) -> None:
    weight = a_weight(dtype)
    ours = quantized(label, weight)
    stored, loaded = compressed(label, weight)
    if label == "mxfp8":
        assert torch.equal(ours.codes, stored["weight"].view(torch.uint8))
    else:
        pairs = ours.codes.unflatten(1, (-1, 2))
        assert torch.equal(pairs[..., 0] | pairs[..., 1] << 4, stored["weight_packed"])
    if label == "nvfp4":
        assert torch.equal(ours.parts["scale"].view(torch.uint8), stored["weight_scale"].view(torch.uint8))
        assert torch.equal(ours.parts["global_scale"], stored["weight_global_scale"])
    else:
        assert torch.equal(ours.parts["exponent"], stored["weight_scale"])
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(ours.dequantize(torch.bfloat16).view(torch.int16), loaded.view(torch.int16))
    assert ours.nbytes == sum(tensor.nbytes for tensor in stored.values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_specifications_rule_is_ggufs(dtype: torch.dtype) -> None:
    weight = a_weight(dtype)
    ours = quantized("mxfp4_ocp", weight)
    packed = torch.from_numpy(quantize(weight.float().numpy(), GGMLQuantizationType.MXFP4))
    blocks = packed.unflatten(1, (-1, 17))
    assert torch.equal(ours.parts["exponent"], blocks[..., 0])
    codes = torch.cat([blocks[..., 1:] & 15, blocks[..., 1:] >> 4], -1).flatten(1)
    assert torch.equal(ours.codes, codes)
    loaded = torch.from_numpy(dequantize(packed.numpy(), GGMLQuantizationType.MXFP4))
    assert torch.equal(ours.dequantize().view(torch.int32), loaded.view(torch.int32))
    assert ours.nbytes == packed.nbytes


def test_the_two_rules_differ_where_the_largest_is_at_least_seven_quarters() -> None:
    weight = a_weight()
    rounded, specified = (quantized(label, weight).parts["exponent"].int() for label in ("mxfp4", "mxfp4_ocp"))
    assert (rounded[6] == specified[6] + 1).all()
    assert (rounded[7] == specified[7]).all()


@pytest.mark.parametrize("label", LABELS)
def test_a_slice_of_columns_rounds_as_the_whole_does(label: str) -> None:
    weight = a_weight().float()
    grid = format_of(label).fit(weight)
    codes = grid.round(weight)
    for first, count in ((0, 1), (31, 2), (64, 128), (100, 200)):
        part = grid.round(weight[:, first : first + count], first)
        assert torch.equal(part, codes[:, first : first + count])
        assert torch.equal(grid.values(part, first), grid.values(codes)[:, first : first + count])


@pytest.mark.parametrize("label", LABELS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_no_value_of_the_grid_is_nearer(label: str, seed: int) -> None:
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(seed))
    grid = format_of(label).fit(weight)
    taken = (grid.nearest(weight) - weight).abs()
    codes = 16 if label != "mxfp8" else 256
    for code in range(codes):
        if label == "mxfp8" and code & 127 == 127:
            continue  # E4M3's two NaN
        other = grid.values(torch.full(weight.shape, code, dtype=torch.uint8))
        assert (taken <= (other - weight).abs() + 1e-7).all()


@pytest.mark.parametrize("label", LABELS)
@given(seed=st.integers(0, 10_000), power=st.integers(-40, 40))
@settings(max_examples=20, deadline=None)
def test_powers_of_two_go_through(label: str, seed: int, power: int) -> None:
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(seed)).bfloat16()
    plain, scaled = (quantized(label, matrix).dequantize() for matrix in (weight, weight * 2.0**power))
    assert torch.equal(plain * 2.0**power, scaled)


@pytest.mark.parametrize("label", LABELS)
def test_searched_scales_have_no_larger_error(label: str) -> None:
    weight = torch.randn(32, 512, generator=torch.Generator().manual_seed(0))
    importance = torch.rand(512, generator=torch.Generator().manual_seed(1))
    form = format_of(label)
    errors = {
        search: ((form.fit(weight, importance, search).nearest(weight) - weight) ** 2 * importance).sum().item()
        for search in ("minmax", "mse")
    }
    assert errors["mse"] <= errors["minmax"] * (0.95 if label == "nvfp4" else 1.0)


@pytest.mark.parametrize("label", LABELS)
def test_a_matrix_of_zeros_stays_one(label: str) -> None:
    ours = quantized(label, torch.zeros(2, 64, dtype=torch.bfloat16))
    assert torch.equal(ours.dequantize(), torch.zeros(2, 64))


def test_what_cannot_be_is_said() -> None:
    assert format_of("mxfp4").misfit((8, 48)) == "groups of 32 do not divide its 48 columns"
    assert format_of("nvfp4").misfit((8, 24)) == "groups of 16 do not divide its 24 columns"
    with pytest.raises(ConfigurationError, match="do not divide"):
        format_of("nvfp4").fit(torch.zeros(8, 24))
    with pytest.raises(ConfigurationError, match="no search 'hope'"):
        format_of("mxfp8").fit(torch.zeros(8, 64), search="hope")
    with pytest.raises(ConfigurationError, match="mxfp4_ocp"):
        format_of("mxfp5")


def test_bits_and_labels() -> None:
    bits = {"mxfp4": 4.25, "mxfp4_ocp": 4.25, "mxfp8": 8.25, "nvfp4": 4.5 + 32 / 4096**2}
    for label, expected in bits.items():
        assert format_of(label).label == label
        assert format_of(label).bits((4096, 4096)) == expected
