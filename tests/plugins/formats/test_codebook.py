"""NF4 and FP4: equal to bitsandbytes bit for bit, stored as it stores them."""

from __future__ import annotations

import pytest
import torch
from heterosis.core.errors import ConfigurationError
from heterosis.core.quantization.level import format_of
from heterosis.core.quantized_tensor import QuantizedTensor
from heterosis.plugins.formats.codebook import CodebookFormat, levels
from heterosis.plugins.formats.dynamic_map import dequantize_blockwise, dynamic_map, quantize_blockwise
from hypothesis import given, settings
from hypothesis import strategies as st

LABELS = ["nf4", "nf4-dq", "fp4", "fp4-dq", "nf4-b128", "fp4-b32-dq"]
DTYPES = [torch.bfloat16, torch.float16, torch.float32]


def a_weight(dtype: torch.dtype = torch.bfloat16, rows: int = 192, columns: int = 384, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator) * torch.rand(rows, 1, generator=generator)
    weight[3, :128] = 0
    weight[4, :64] = -0.0
    return weight.to(dtype)


def quantized(label: str, weight: torch.Tensor, search: str = "minmax") -> QuantizedTensor:
    form = format_of(label)
    return form.encode(form.fit(weight.float(), search=search, dtype=weight.dtype), weight.float())


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(torch.int32 if tensor.dtype == torch.float32 else torch.int16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("label", LABELS)
def test_codes_scales_and_values_are_those_of_bitsandbytes(label: str, dtype: torch.dtype) -> None:
    library = pytest.importorskip("bitsandbytes.functional")
    weight = a_weight(dtype)
    ours = quantized(label, weight)
    form = ours.format
    assert isinstance(form, CodebookFormat)
    packed, state = library.quantize_4bit(
        weight, quant_type=form.kind, blocksize=form.block, compress_statistics=form.double
    )
    stored = form.stored(ours, dtype)
    assert torch.equal(stored[""], packed)
    assert torch.equal(stored[".absmax"], state.absmax)
    assert torch.equal(stored[".quant_map"], state.code)
    if form.double:
        assert torch.equal(stored[".nested_absmax"], state.state2.absmax)
        assert torch.equal(stored[".nested_quant_map"], state.state2.code)
        assert torch.equal(ours.parts["nested_offset"], state.offset)
    assert torch.equal(bits(ours.dequantize(dtype)), bits(library.dequantize_4bit(packed, state)))


@pytest.mark.parametrize("label", LABELS)
def test_bitsandbytes_reads_what_is_stored_which_is_as_long_as_predicted(label: str) -> None:
    library = pytest.importorskip("bitsandbytes.functional")
    weight = a_weight()
    ours = quantized(label, weight)
    assert isinstance(ours.format, CodebookFormat)
    stored = ours.format.stored(ours, torch.bfloat16)
    assert sum(tensor.nbytes for tensor in stored.values()) == ours.nbytes
    parts = {f"weight{name}": tensor for name, tensor in stored.items() if name}
    state = library.QuantState.from_dict(parts, torch.device("cpu"))
    assert torch.equal(library.dequantize_4bit(stored[""], state), ours.dequantize(torch.bfloat16))


def test_size_is_what_bitsandbytes_itself_would_save() -> None:
    library = pytest.importorskip("bitsandbytes.functional")
    weight = a_weight()
    for label in ("nf4", "fp4-b128"):
        ours = quantized(label, weight)
        assert isinstance(ours.format, CodebookFormat)
        packed, state = library.quantize_4bit(weight, quant_type=ours.format.kind, blocksize=ours.format.block)
        saved = [packed, *state.as_dict(packed=True).values()]
        assert sum(tensor.nbytes for tensor in saved) == ours.nbytes


@pytest.mark.parametrize("count", [1, 255, 256, 700])
def test_scales_of_scales_are_those_of_bitsandbytes(count: int) -> None:
    library = pytest.importorskip("bitsandbytes.functional")
    values = torch.randn(count, generator=torch.Generator().manual_seed(count)) * 0.01
    values[256:512] = 0
    codes, largest = quantize_blockwise(values)
    expected, state = library.quantize_blockwise(values, blocksize=256)
    assert torch.equal(dynamic_map(), library.create_dynamic_map())
    assert torch.equal(codes, expected)
    assert torch.equal(largest, state.absmax)
    assert torch.equal(dequantize_blockwise(codes, largest), library.dequantize_blockwise(expected, state))


@pytest.mark.parametrize("label", LABELS)
def test_a_slice_of_columns_rounds_as_the_whole_does(label: str) -> None:
    weight = a_weight().float()
    grid = format_of(label).fit(weight)
    codes = grid.round(weight)
    for first, count in ((0, 1), (63, 2), (64, 128), (100, 200)):
        part = grid.round(weight[:, first : first + count], first)
        assert torch.equal(part, codes[:, first : first + count])
        assert torch.equal(grid.values(part, first), grid.values(codes)[:, first : first + count])


@given(st.integers(0, 10_000), st.sampled_from(["nf4", "fp4", "nf4-b32"]))
@settings(max_examples=25, deadline=None)
def test_no_other_level_is_nearer(seed: int, label: str) -> None:
    weight = a_weight(torch.float32, 6, 128, seed)
    ours = quantized(label, weight)
    assert isinstance(ours.format, CodebookFormat)
    block = ours.format.block
    scales = weight.unflatten(1, (-1, block)).abs().amax(2).repeat_interleave(block, 1)
    distances = (weight[..., None] - scales[..., None] * levels(ours.format.kind)).abs()
    assert torch.allclose((weight - ours.dequantize()).abs(), distances.amin(-1), atol=1e-6)


@given(st.integers(0, 10_000), st.sampled_from(["nf4", "fp4"]))
@settings(max_examples=25, deadline=None)
def test_what_was_dequantised_quantises_to_itself(seed: int, label: str) -> None:
    once = quantized(label, a_weight(torch.float32, 6, 128, seed)).dequantize()
    assert torch.allclose(quantized(label, once).dequantize(), once, rtol=1e-6, atol=0)


def test_searched_scales_have_no_larger_error() -> None:
    weight = a_weight(torch.float32)
    importance = torch.rand(weight.shape[1], generator=torch.Generator().manual_seed(1))
    for label in ("nf4", "fp4-b128"):
        form = format_of(label)
        errors = {
            search: ((form.fit(weight, importance, search).nearest(weight) - weight) ** 2 * importance).sum().item()
            for search in ("minmax", "mse")
        }
        assert errors["mse"] < 0.95 * errors["minmax"]


def test_bits_count_scales() -> None:
    shape = (4096, 4096)
    assert format_of("nf4").bits(shape) == pytest.approx(4.5, abs=1e-3)
    assert format_of("nf4-dq").bits(shape) == pytest.approx(4.127, abs=2e-3)


@pytest.mark.parametrize("label", LABELS)
def test_labels_are_read_back(label: str) -> None:
    assert format_of(label).label == label
    assert CodebookFormat.parse("int4") is None


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigurationError, match="blocks of 32, 64"):
        format_of("nf4-b48")
    with pytest.raises(ConfigurationError, match="Valid names: minmax, mse"):
        format_of("nf4").fit(a_weight().float(), search="hope")
    assert "groups of 64 do not divide its 100 columns" in (format_of("nf4").misfit((64, 100)) or "")
    assert format_of("nf4").misfit((3, 64, 64)) == "it has 3 dimensions, not 2"
    with pytest.raises(ConfigurationError, match="do not divide"):
        format_of("nf4").fit(torch.zeros(2, 100))
