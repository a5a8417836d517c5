"""Rounding to nearest, and HQQ's zero points."""

from __future__ import annotations

import pytest
import torch
from heterosis.core.contracts import Calibration
from heterosis.core.errors import ConfigurationError, MaterialiseError
from heterosis.core.quantization.level import Level
from heterosis.plugins.quantize.hqq import shrink
from hypothesis import given, settings
from hypothesis import strategies as st


def draw(rows=32, columns=128, seed=0, shift=0.0):
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=random) * 0.05 + shift
    weight[torch.rand(rows, columns, generator=random) < 0.02] *= 8
    return weight.bfloat16()


def quantize(label, weight, calibration=None, **options):
    level = Level.parse(label)
    return level.plugin.quantize(weight, level.format, calibration, {**level.plugin.options, **options})


def error(weight, quantized):
    return (quantized.dequantize() - weight.float()).abs().mean()


@settings(deadline=None, max_examples=30)
@given(
    width=st.integers(1, 6),
    group=st.sampled_from(["g16", "channel", "tensor"]),
    zeros=st.sampled_from(["-asym", "-float"]),
    shift=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 99),
)
def test_hqq_is_never_farther_than_rounding_to_nearest(width, group, zeros, shift, seed):
    label, weight = f"int{width}-{group}{zeros}", draw(seed=seed, shift=shift)
    assert error(weight, quantize(f"hqq:{label}", weight)) <= error(weight, quantize(label, weight)) * (1 + 1e-5)


@pytest.mark.parametrize("label", ["int2-g32-float", "int3-g64-float", "int2-g32-asym", "int3-channel-asym"])
def test_hqq_gains_where_there_are_outliers(label):
    weight = draw()
    assert error(weight, quantize(f"hqq:{label}", weight)) < 0.97 * error(weight, quantize(label, weight))


def test_hqq_does_better_in_the_norm_that_it_minimises():
    weight = draw()
    plain, hqq = (
        (quantize(label, weight).dequantize() - weight.float()).abs().pow(0.7).sum()
        for label in ("int3-g64-float", "hqq:int3-g64-float")
    )
    assert hqq < 0.99 * plain


def test_shrinking_keeps_what_is_large():
    errors = torch.tensor([0.0, 0.01, -0.01, 1.0, -2.0])
    kept = shrink(errors, 10.0, 0.7)
    assert kept[:3].tolist() == [0, 0, 0]
    torch.testing.assert_close(kept[3:], torch.tensor([0.9, -2 + 2**-0.3 / 10]))


def test_formats_without_zero_points_are_refused_when_they_are_read():
    with pytest.raises(ConfigurationError, match="int4-g64-float"):
        Level.parse("hqq:int4-g64")
    with pytest.raises(ConfigurationError, match="zero points"):
        Level.parse("hqq:fp8_e4m3")


def test_importance_is_used_if_it_is_known():
    weight, gram = draw(), torch.diag(torch.rand(128, generator=torch.Generator().manual_seed(2)) ** 4 * 9 + 1e-3)
    with_it, without = (quantize("int3-g32", weight, known, search="mse") for known in (Calibration(gram), None))
    lost = [((found.dequantize() - weight.float()).square() * gram.diagonal()).sum() for found in (with_it, without)]
    assert lost[0] < lost[1]


@pytest.mark.parametrize("label", ["int4-g32", "hqq:int4-g32-asym", "fp8_e4m3", "ternary"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(label, bad):
    weight = draw()
    weight[3, 4] = bad
    with pytest.raises(MaterialiseError, match=r"1 of the 4096 weights .* not finite"):
        quantize(label, weight)


@pytest.mark.parametrize(("gram", "message"), [(torch.eye(7), "7 inputs"), (torch.eye(128) * torch.nan, "not finite")])
def test_calibration_that_cannot_be_used(gram, message):
    with pytest.raises(MaterialiseError, match=message):
        quantize("int4-g32", draw(), Calibration(gram))
