"""Small floats: FP8 as compressed-tensors stores it; FP6 by its table."""

from __future__ import annotations

import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams
from heterosis.core.quantization.level import format_of
from heterosis.plugins.formats.elements import MiniFloat
from heterosis.plugins.formats.floating import KINDS
from heterosis.plugins.formats.groups import grouped
from hypothesis import given, settings
from hypothesis import strategies as st

FLOATS = BaseCompressor.get_value_from_registry("float-quantized")


@settings(deadline=None, max_examples=60)
@given(
    group=st.sampled_from([(0, "channel"), (-1, "tensor"), (32, "group")]),
    rows=st.integers(1, 24),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_e4m3_is_the_librarys(group, rows, dtype, seed):
    size, strategy = group
    weight = (torch.randn(rows, 96, generator=torch.Generator().manual_seed(seed)) * 0.03).to(dtype)
    args = QuantizationArgs(
        num_bits=8, type="float", strategy=strategy, group_size=size if size > 0 else None, symmetric=True
    )
    groups = grouped(weight, size)
    scale, _ = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
    scale = scale.reshape(1) if size == -1 else scale
    form = format_of({0: "fp8_e4m3", -1: "fp8_e4m3-tensor", 32: "fp8_e4m3-g32"}[size])
    quantized = form.encode(form.fit(weight.float(), dtype=dtype), weight.float())
    assert torch.equal(quantized.parts["scale"], scale)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    exact = FLOATS.compress({"weight": weight.float(), "weight_scale": scale.float()}, scheme)["weight"]
    assert torch.equal(quantized.codes, exact.view(torch.uint8))
    loaded = FLOATS.decompress({"weight": exact, "weight_scale": scale}, scheme)["weight"]
    assert torch.equal(quantized.dequantize(dtype), loaded)
    assert form.nbytes((rows, 96)) == exact.numel() + 2 * scale.numel()


def test_fp6_has_these_values():
    values = KINDS["fp6_e3m2"].values(torch.arange(64, dtype=torch.uint8))
    subnormal = [0, 0.0625, 0.125, 0.1875]
    normal = [2.0**power * step for power in range(-2, 5) for step in (1, 1.25, 1.5, 1.75)]
    assert values[:32].tolist() == subnormal + normal
    assert values[32:].tolist() == [-value for value in subnormal + normal]
    assert KINDS["fp6_e3m2"].largest == 28


@settings(deadline=None, max_examples=200)
@given(number=st.floats(-40, 40, width=32))
def test_fp6_rounds_to_the_nearest_even_in_doubt(number):
    kind = KINDS["fp6_e3m2"]
    table = kind.values(torch.arange(32, dtype=torch.uint8)).double()
    gaps = (table - abs(number)).abs()
    nearest = (gaps == gaps.min()).nonzero().flatten().tolist()
    code = int(kind.round(torch.tensor([number]))[0])
    assert code % 32 == min(nearest, key=lambda place: place % 2)
    assert code < 32 or number <= 0


@pytest.mark.parametrize(("kind", "like"), [((4, 3, 7), torch.float8_e4m3fn), ((5, 2, 15), torch.float8_e5m2)])
def test_small_floats_round_as_torchs_do(kind, like):
    numbers = torch.randn(20000, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 2, 20000)
    codes = MiniFloat(*kind).round(numbers.clone())
    assert torch.equal(codes, numbers.to(like).view(torch.uint8))


@pytest.mark.parametrize("label", ["fp8_e4m3-g32", "fp8_e5m2", "fp6_e3m2", "fp6_e3m2-g32"])
def test_mse_loses_less(label):
    form, weight = format_of(label), torch.randn(32, 128, generator=torch.Generator().manual_seed(1))
    plain, searched = (
        float((form.fit(weight, None, s).nearest(weight) - weight).square().sum()) for s in form.searches
    )
    assert searched < plain


def test_sizes_and_labels():
    assert format_of("fp6_e3m2").nbytes((10, 100)) == 10 * 75 + 2 * 10
    assert format_of("fp8_e5m2-g50").nbytes((10, 100)) == 10 * 100 + 2 * 20
    assert format_of("fp8_e4m3-channel").label == "fp8_e4m3"
