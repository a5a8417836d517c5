"""2:4 sparsity, alone and with int8."""

from __future__ import annotations

import pytest
import torch
from compressed_tensors.utils import pack_bitmasks
from heterosis.core.errors import ConfigurationError
from heterosis.core.quantization.level import format_of
from heterosis.plugins.formats.sparse import kept
from hypothesis import given, settings
from hypothesis import strategies as st

LABELS = ["sparse24", "sparse24-int8"]


def a_weight(seed: int = 0, rows: int = 24, columns: int = 128) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).bfloat16().float()


def test_kept_weights_are_the_bfloat16_they_were_and_the_rest_is_gone() -> None:
    weight = torch.randn(24, 128, generator=torch.Generator().manual_seed(0))
    form = format_of("sparse24")
    found = form.encode(form.fit(weight), weight).dequantize()
    mask = torch.zeros_like(weight, dtype=torch.bool)
    largest = weight.abs().unflatten(1, (-1, 4)).topk(2, dim=2).indices
    mask.unflatten(1, (-1, 4)).scatter_(2, largest, True)
    assert torch.equal(found, (weight * mask).bfloat16().float())


def test_int8_has_the_scales_of_the_rows_that_are_left() -> None:
    weight = a_weight()
    form, plain = format_of("sparse24-int8"), format_of("int8-channel")
    ours = form.encode(form.fit(weight), weight)
    left = weight * kept(weight)
    expected = plain.encode(plain.fit(left), left)
    assert torch.equal(ours.codes, expected.codes)
    assert torch.equal(ours.dequantize(torch.bfloat16), expected.dequantize(torch.bfloat16))
    assert torch.equal(ours.dequantize(torch.bfloat16) == 0, (left == 0) | (expected.codes == 0))


def test_the_bitmask_is_compressed_tensors() -> None:
    weight = a_weight(columns=20)
    assert torch.equal(format_of("sparse24").fit(weight).parts["bitmask"], pack_bitmasks(kept(weight)))


def test_inputs_that_are_large_save_small_weights() -> None:
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert kept(weight).tolist() == [[False, False, True, True]]
    assert kept(weight, torch.tensor([25.0, 1.0, 1.0, 1.0])).tolist() == [[True, False, False, True]]


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_two_of_every_four_stay_and_they_are_the_best(seed: int, weighted: bool) -> None:
    weight = a_weight(seed).round(decimals=0 if seed % 2 else 3)  # ties are common among whole numbers
    importance = torch.rand(128, generator=torch.Generator().manual_seed(seed)) if weighted else None
    mask = kept(weight, importance)
    runs = mask.unflatten(1, (-1, 4))
    assert (runs.sum(2) == 2).all()
    scores = (weight.abs() * (1 if importance is None else importance.sqrt())).unflatten(1, (-1, 4))
    worst_kept = scores.masked_fill(~runs, torch.inf).amin(2)
    assert (worst_kept >= scores.masked_fill(runs, -1).amax(2)).all()


@pytest.mark.parametrize("label", LABELS)
def test_a_slice_of_columns_rounds_as_the_whole_does(label: str) -> None:
    weight = a_weight()
    grid = format_of(label).fit(weight)
    codes = grid.round(weight)
    for first, count in ((0, 1), (3, 2), (64, 64)):
        part = grid.round(weight[:, first : first + count], first)
        assert torch.equal(part, codes[:, first : first + count])
        assert torch.equal(grid.values(part, first), grid.values(codes)[:, first : first + count])


def test_bytes_are_those_of_what_is_stored() -> None:
    weight = a_weight()
    mask = kept(weight)
    stored = [weight[mask].bfloat16(), pack_bitmasks(mask), torch.tensor(weight.shape)]
    assert format_of("sparse24").nbytes((24, 128)) == sum(tensor.nbytes for tensor in stored)
    stored = [weight[mask].to(torch.int8), torch.zeros(24, 1).bfloat16(), *stored[1:]]
    assert format_of("sparse24-int8").nbytes((24, 128)) == sum(tensor.nbytes for tensor in stored)


@pytest.mark.parametrize("label", LABELS)
def test_zeros_stay_zeros(label: str) -> None:
    form, weight = format_of(label), -torch.zeros(4, 8)
    found = form.encode(form.fit(weight), weight).dequantize()
    assert torch.equal(found, torch.zeros(4, 8))
    assert not found.signbit().any()


def test_what_cannot_be_is_said() -> None:
    assert format_of("sparse24").misfit((8, 30)) == "runs of 4 do not divide its 30 columns"
    with pytest.raises(ConfigurationError, match="do not divide"):
        format_of("sparse24").fit(torch.zeros(8, 30))
    with pytest.raises(ConfigurationError, match="Did you mean 'sparse24-int8'"):
        format_of("sparse24-int4")
    for label in LABELS:
        assert format_of(label).label == label
