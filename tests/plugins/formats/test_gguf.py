"""GGUF block types: bytes, values and errors like those of the `gguf` package and of llama.cpp."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest
import torch
from heterosis.core.errors import ConfigurationError
from heterosis.core.quantization.level import Level, format_of
from heterosis.plugins.formats.gguf_format import GgufFormat
from hypothesis import given, settings
from hypothesis import strategies as st

BLOCKS = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"]
SUPERBLOCKS = ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k"]
FOUND = importlib.util.find_spec("llama_cpp")  # found, not imported: that would start its backends
LIBRARY = None if FOUND is None or FOUND.origin is None else Path(FOUND.origin).parent / "lib" / "libggml-base.so"


def a_format(label: str) -> GgufFormat:
    found = format_of(label)
    assert isinstance(found, GgufFormat)
    return found


def a_weight(rows: int = 24, columns: int = 512, seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """Rounded to bfloat16 many weights are alike in size; some groups are constant, zero, or have an outlier."""
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.05
    weight[0, :256] = 0
    weight[1, 32:64], weight[2, :256], weight[3, :256] = 0, 0.3, -0.3
    weight[4, 7], weight[4, 8] = 1, -1
    return weight.to(dtype).float()


def importance(columns: int = 512) -> torch.Tensor:
    return torch.rand(columns, generator=torch.Generator().manual_seed(1)) ** 4 + 0.01


def error(values: npt.NDArray[np.float32], weight: torch.Tensor, weights: torch.Tensor | None = None) -> float:
    squares = (torch.from_numpy(values) - weight).square()
    return float((squares if weights is None else squares * weights).sum())


def by_ggml(
    weight: torch.Tensor,
    kind: GgufFormat,
    weights: torch.Tensor | None,
) -> npt.NDArray[np.float32]:
    function = ctypes.CDLL(str(LIBRARY)).ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, count, count, count, pointer]
    values, packed = weight.numpy(), np.empty(kind.nbytes(tuple(weight.shape)), np.uint8)
    known = None if weights is None else weights.numpy().ctypes.data
    assert function(kind.ggml_type, values.ctypes.data, packed.ctypes.data, 0, *values.shape, known) == packed.size
    return decoded(packed.reshape(len(values), -1), kind)


def decoded(packed: npt.NDArray[np.uint8], kind: GgufFormat) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = gguf.dequantize(packed, gguf.GGMLQuantizationType(kind.ggml_type))
    return values


@pytest.mark.parametrize("label", BLOCKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_bytes_are_those_of_the_gguf_package(label: str, dtype: torch.dtype) -> None:
    weight, kind = a_weight(dtype=dtype), a_format(label)
    expected = gguf.quantize(weight.numpy(), gguf.GGMLQuantizationType(kind.ggml_type))
    assert np.array_equal(kind.packed(kind.encode(kind.fit(weight), weight)), expected)


@pytest.mark.parametrize("label", [*BLOCKS, *SUPERBLOCKS])
@pytest.mark.parametrize("search", ["minmax", "mse"])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_measured_is_what_the_file_says(label: str, search: str, weighted: bool) -> None:
    weight, kind = a_weight(), a_format(label)
    quantized = kind.encode(kind.fit(weight, importance() if weighted else None, search), weight)
    packed = kind.packed(quantized)
    assert packed.nbytes == quantized.nbytes == kind.nbytes((24, 512))
    assert np.array_equal(decoded(packed, kind), quantized.dequantize().numpy())
    expected = torch.from_numpy(decoded(packed, kind)).to(torch.bfloat16)
    assert torch.equal(quantized.dequantize(torch.bfloat16), expected)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([*BLOCKS, *SUPERBLOCKS]),
    st.integers(0, 2**32),
    st.sampled_from([1e-9, 1e-3, 1.0, 1e3]),
    st.sampled_from([-1.0, 0.0, 3.0]),
    st.sampled_from(["minmax", "mse"]),
)
def test_any_matrix_is_decoded_as_it_was_simulated(
    label: str, seed: int, size: float, mean: float, search: str
) -> None:
    kind = a_format(label)
    weight = size * (torch.randn(3, 512, generator=torch.Generator().manual_seed(seed)) + mean)
    quantized = kind.encode(kind.fit(weight, None, search), weight)
    values = quantized.dequantize()
    assert np.array_equal(decoded(kind.packed(quantized), kind), values.numpy())
    assert (values - weight).abs().max() <= weight.abs().max()


def heavy_tailed() -> torch.Tensor:
    normal = torch.randn(4, 24, 512, generator=torch.Generator().manual_seed(2))
    return normal[0] / normal[1:].square().mean(0).sqrt()  # Student's t with 3 degrees of freedom


def once_in_four_bits() -> torch.Tensor:
    """Nearly on a coarser grid: what is left of the error is that of the scales."""
    kind, weight = a_format("q4_0"), a_weight()
    return kind.encode(kind.fit(weight), weight).dequantize(torch.bfloat16).float()


@pytest.mark.parametrize("label", SUPERBLOCKS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("matrix", [a_weight, heavy_tailed, once_in_four_bits])
@pytest.mark.skipif(LIBRARY is None, reason="llama-cpp-python is not installed")
def test_errors_are_at_most_those_of_llama_cpp(label: str, weighted: bool, matrix: Callable[[], torch.Tensor]) -> None:
    weight, kind, weights = matrix(), a_format(label), importance() if weighted else None
    ours = kind.encode(kind.fit(weight, weights), weight).dequantize().numpy()
    assert error(ours, weight, weights) <= error(by_ggml(weight, kind, weights), weight, weights)


@pytest.mark.parametrize("label", ["q4_0", "q4_1", "q5_0", "q5_1"])
@pytest.mark.skipif(LIBRARY is None, reason="llama-cpp-python is not installed")
def test_blocks_searched_with_importance_are_as_good_as_llama_cpp_makes_them(label: str) -> None:
    weight, kind, weights = a_weight(), a_format(label), importance()
    ours = kind.encode(kind.fit(weight, weights, "mse"), weight).dequantize().numpy()
    assert error(ours, weight, weights) <= 1.02 * error(by_ggml(weight, kind, weights), weight, weights)


@pytest.mark.parametrize("label", ["q4_0", "q4_1", "q5_0", "q5_1", *SUPERBLOCKS])
def test_a_search_for_the_squared_error_finds_less_of_it(label: str) -> None:
    weight, kind = a_weight(), a_format(label)
    plain, searched = (
        error(kind.encode(kind.fit(weight, None, search), weight).dequantize().numpy(), weight)
        for search in ("minmax", "mse")
    )
    assert searched < plain


@pytest.mark.parametrize("label", ["q4_0", "q4_1", *SUPERBLOCKS])
def test_importance_moves_the_error_to_where_it_counts_less(label: str) -> None:
    weight, kind = a_weight(), a_format(label)
    blind, seeing = (
        error(kind.encode(kind.fit(weight, weights, "mse"), weight).dequantize().numpy(), weight, importance())
        for weights in (None, importance())
    )
    assert seeing < blind


@pytest.mark.parametrize("label", [*BLOCKS, *SUPERBLOCKS])
def test_columns_are_rounded_alike_alone_and_together(label: str) -> None:
    weight, kind = a_weight(), a_format(label)
    grid = kind.fit(weight)
    codes = grid.round(weight)
    for first, count in ((0, 1), (31, 1), (30, 5), (250, 100), (256, 256), (511, 1)):
        part = grid.round(weight[:, first : first + count], first)
        assert torch.equal(part, codes[:, first : first + count])
        assert torch.equal(grid.values(part, first), kind.encode(grid, weight).dequantize()[:, first : first + count])


@pytest.mark.parametrize("label", [*BLOCKS, *SUPERBLOCKS])
def test_values_of_the_grid_stay_as_they_are(label: str) -> None:
    weight, kind = a_weight(), a_format(label)
    grid = kind.fit(weight, None, "mse")
    codes = grid.round(weight)
    values = grid.values(codes)
    assert torch.equal(grid.values(grid.round(values)), values)


@pytest.mark.parametrize(("label", "bits"), [("q4_0", 4.5), ("q8_0", 8.5), ("q2_k", 2.625), ("q6_k", 6.5625)])
def test_bits(label: str, bits: float) -> None:
    assert a_format(label).bits((8, 512)) == bits


def test_a_matrix_that_blocks_do_not_divide_is_refused() -> None:
    assert a_format("q4_0").misfit((4, 576)) is None
    assert "256" in str(a_format("q4_k").misfit((4, 576)))
    with pytest.raises(ConfigurationError, match="blocks of 256 do not divide its 576 columns"):
        a_format("q4_k").fit(torch.zeros(4, 576))


def test_an_unknown_search_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="q4_k has no search 'neuqi'"):
        a_format("q4_k").fit(torch.zeros(4, 256), search="neuqi")


def test_labels_are_levels() -> None:
    level = Level.parse("q4_k")
    assert level is not None
    assert level.label == "q4_k"
