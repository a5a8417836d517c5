"""Lossless coding of bfloat16: every bit comes back, and the bytes are as many as predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from heterosis.plugins.export import huffman
from heterosis.plugins.export.lossless import huffman_bytes, packed, unpacked
from hypothesis import given, settings
from hypothesis import strategies as st


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one.view(torch.int16), other.view(torch.int16))


def weights(*shape: int, scale: float = 0.03, seed: int = 0) -> torch.Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale).bfloat16()


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (1024,), (1025,), (64, 48), (2, 3, 4), (1100, 1000)])
def test_every_bit_comes_back(shape: tuple[int, ...]) -> None:
    tensor = weights(*shape)
    parts = packed(tensor)
    assert unpacked(parts).shape == tensor.shape
    assert same_bits(unpacked(parts), tensor)
    assert sum(part.nbytes for part in parts.values()) == huffman_bytes(tensor)


@given(st.lists(st.integers(-(2**15), 2**15 - 1), max_size=3000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_bits_come_back_infinities_and_nans_included(values: list[int], one_exponent: bool) -> None:
    bits = torch.tensor(values, dtype=torch.int16)
    tensor = (bits & 0x7F if one_exponent else bits).view(torch.bfloat16)
    parts = packed(tensor)
    assert same_bits(unpacked(parts), tensor)
    assert sum(part.nbytes for part in parts.values()) == huffman_bytes(tensor)


def test_all_patterns_of_bits_come_back() -> None:
    tensor = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    assert same_bits(unpacked(packed(tensor)), tensor)


def test_a_view_that_is_not_contiguous_comes_back() -> None:
    tensor = weights(40, 60).T
    assert same_bits(unpacked(packed(tensor)), tensor.contiguous())


def test_normal_weights_take_about_eleven_bits_and_it_is_the_entropy() -> None:
    tensor = weights(1024, 1024)
    bits = 8 * huffman_bytes(tensor) / tensor.numel()
    assert 10.5 < bits < 10.7
    exponents = (tensor.view(torch.int16) >> 7 & 0xFF).flatten()
    share = torch.bincount(exponents.int()).double() / exponents.numel()
    entropy = -(share[share > 0] * share[share > 0].log2()).sum().item()
    assert 8 + entropy <= bits < 8 + entropy + 0.1


def test_codes_that_would_be_too_long_are_shortened() -> None:
    counts = [1, 1]
    while len(counts) < 40:
        counts.append(counts[-1] + counts[-2])
    counts += [0] * 216
    lengths = huffman.code_lengths(counts)
    assert lengths.max() <= huffman.LONGEST
    assert (lengths[:40] > 0).all()
    assert np.sum(2.0 ** -lengths[:40].astype(float)) <= 1


@given(st.lists(st.integers(0, 10**6), min_size=256, max_size=256).filter(any))
@settings(max_examples=40, deadline=None)
def test_codes_are_prefix_free_and_the_table_reads_them(counts: list[int]) -> None:
    lengths = huffman.code_lengths(counts)
    codes, table = huffman.codes(lengths), huffman.lookup(lengths)
    assert ((lengths > 0) == (np.array(counts) > 0)).all()
    for byte in np.flatnonzero(lengths):
        spare = huffman.LONGEST - int(lengths[byte])
        start = int(codes[byte]) << spare
        assert (table[start : start + (1 << spare)] == byte).all()


def test_other_dtypes_are_refused() -> None:
    for take in (packed, huffman_bytes):
        with pytest.raises(ValueError, match=r"torch\.float16"):
            take(torch.zeros(3, dtype=torch.float16))
