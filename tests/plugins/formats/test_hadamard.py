"""Formats in a space that Hadamard matrices turned."""

from __future__ import annotations

import pytest
import torch
from heterosis.core.errors import ConfigurationError, MaterialiseError
from heterosis.core.quantization.level import format_of
from heterosis.plugins.formats.hadamard import HadamardFormat, hadamard, turned
from hypothesis import given, settings
from hypothesis import strategies as st

LABELS = ["mxfp4-h32", "nvfp4-h16", "int4-g32-h128", "nf4-h64", "mxfp4_ocp-h64", "int8-channel-h2"]


def a_weight(seed: int = 0, rows: int = 32, columns: int = 256) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def heavy_tailed() -> torch.Tensor:
    return a_weight(rows=64, columns=512) ** 5


@pytest.mark.parametrize("label", LABELS)
def test_labels_are_read_back_and_bytes_are_the_inner_formats(label: str) -> None:
    form = format_of(label)
    assert isinstance(form, HadamardFormat)
    assert form.label == label
    assert form.nbytes((256, 512)) == form.inner.nbytes((256, 512))


@pytest.mark.parametrize("label", LABELS)
def test_the_weight_is_the_inner_formats_turned_back(label: str) -> None:
    form = format_of(label)
    assert isinstance(form, HadamardFormat)
    weight = a_weight()
    ours = form.encode(form.fit(weight), weight)
    inner = form.inner.encode(form.inner.fit(turned(weight, form.size)), turned(weight, form.size))
    assert torch.equal(ours.codes, inner.codes)
    blocks = torch.block_diag(*[hadamard(form.size)] * (256 // form.size))
    assert torch.allclose(ours.dequantize(), inner.dequantize() @ blocks.T, atol=1e-5)
    assert torch.allclose(form.fit(weight).nearest(weight), ours.dequantize(), atol=0.02)


# Not nvfp4: in blocks of 16 an outlier spoils few weights, and turning spreads it over more (so the paper, section 3).
@pytest.mark.parametrize("label", ["mxfp4", "int4-g64"])
def test_turning_helps_weights_with_outliers(label: str) -> None:
    weight = heavy_tailed()
    plain, rotated = (
        (format_of(name).fit(weight).nearest(weight) - weight).square().sum() for name in (label, f"{label}-h64")
    )
    assert rotated < plain


@given(st.integers(1, 7), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_matrix_is_orthogonal_and_its_own_inverse(power: int, seed: int) -> None:
    size = 2**power
    assert torch.allclose(hadamard(size) @ hadamard(size).T, torch.eye(size), atol=1e-6)
    weight = a_weight(seed)
    assert torch.allclose(turned(turned(weight, size), size), weight, atol=1e-5)
    assert torch.allclose(turned(weight, size).norm(dim=1), weight.norm(dim=1), rtol=1e-5)


def test_outputs_have_the_same_error_in_either_space() -> None:
    form = format_of("mxfp4-h32")
    assert isinstance(form, HadamardFormat)
    weight, inputs = a_weight(), a_weight(1, rows=1000)
    gram = inputs.T @ inputs / len(inputs)
    error = form.fit(weight).nearest(weight) - weight
    turned_error = form.turned(error)
    plain = (error @ gram * error).sum()
    there = (turned_error @ form.turned_gram(gram) * turned_error).sum()
    assert torch.allclose(plain, there, rtol=1e-4)


def test_importance_of_a_turned_column_is_its_diagonal_second_moment() -> None:
    form = format_of("nvfp4-h16")
    assert isinstance(form, HadamardFormat)
    importance = torch.rand(256, generator=torch.Generator().manual_seed(2))
    expected = form.turned_gram(importance.diag()).diagonal()
    assert torch.allclose(importance.unflatten(0, (-1, 16)).mean(1).repeat_interleave(16), expected, atol=1e-6)
    weight = heavy_tailed()[:, :256]
    searched = form.fit(weight, importance, "mse")
    direct = form.inner.fit(form.turned(weight), expected, "mse")
    assert (searched.parts["scale"].view(torch.uint8) == direct.parts["scale"].view(torch.uint8)).float().mean() > 0.99


def test_whole_blocks_of_columns_can_be_rounded_but_no_part_of_one() -> None:
    weight = a_weight()
    grid = format_of("mxfp4-h32").fit(weight)
    codes = grid.round(weight)
    assert torch.equal(grid.round(weight[:, 64:128], 64), codes[:, 64:128])
    with pytest.raises(MaterialiseError, match="mr_gptq"):
        grid.round(weight[:, :1], 0)
    with pytest.raises(MaterialiseError, match="columns 32 to 33"):
        grid.values(codes[:, 32:33], 32)


def test_what_cannot_be_is_said() -> None:
    assert format_of("mxfp4-h128").misfit((8, 576)) == "Hadamard blocks of 128 do not divide its 576 columns"
    assert format_of("mxfp4-h4").misfit((8, 60)) == "groups of 32 do not divide its 60 columns"
    with pytest.raises(ConfigurationError, match="do not divide"):
        format_of("mxfp4-h128").fit(torch.zeros(8, 576))
    for label, message in {"int4-h48": "not 48", "int4-h32-h32": "turned twice", "no-h32": "no format 'no'"}.items():
        with pytest.raises(ConfigurationError, match=message):
            format_of(label)
