"""LoftQ: a product of low rank beside the codes brings the outputs back towards what they were."""

from __future__ import annotations

import pytest
import torch
from heterosis.core.contracts import Calibration
from heterosis.core.errors import ConfigurationError, MaterialiseError
from heterosis.core.quantization.level import Level, format_of
from heterosis.plugins.quantize.column_rounding import proxy_loss, triangular_factor
from heterosis.plugins.quantize.gptq import gptq
from heterosis.plugins.quantize.loftq import LoftQ
from heterosis.plugins.quantize.weighted_low_rank import closest, leading
from hypothesis import given, settings
from hypothesis import strategies as st


def draw(outputs, inputs, seed=0):
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=random) / inputs**0.5
    rows = torch.randn(4 * inputs, inputs, generator=random) @ torch.randn(inputs, inputs, generator=random)
    return weight.bfloat16(), Calibration(rows.T @ rows / len(rows))


def quantised(weight, label, calibration, **options):
    return LoftQ().quantize(weight, format_of(label), calibration, {**LoftQ.options, **options})


def loss(weight, found, calibration):
    return proxy_loss(weight, found.dequantize(torch.float32), calibration.gram)


@settings(deadline=None, max_examples=20)
@given(
    outputs=st.integers(8, 40),
    groups=st.integers(1, 4),
    rank=st.integers(1, 8),
    rounding=st.sampled_from(["rtn", "gptq"]),
    seed=st.integers(0, 99),
)
def test_outputs_are_closer_than_without_and_bytes_are_counted(outputs, groups, rank, rounding, seed):
    weight, calibration = draw(outputs, 16 * groups, seed)
    found = quantised(weight, f"int2-g16-r{rank}", calibration, quantizer=rounding, damping=1e-4)
    inner = format_of("int2-g16")
    if rounding == "gptq":
        without = gptq(weight.float(), inner, calibration.gram)
    else:
        without = inner.encode(inner.fit(weight.float()), weight.float())
    assert loss(weight, found, calibration) < loss(weight, without, calibration)
    factors = found.parts["left"].nbytes + found.parts["right"].nbytes
    assert found.nbytes == inner.nbytes(found.shape) + factors


def test_more_rank_and_more_rounds_never_cost_more():
    weight, calibration = draw(32, 64)
    by_rank = [loss(weight, quantised(weight, f"int2-g16-r{rank}", calibration), calibration) for rank in (1, 4, 16)]
    assert by_rank == sorted(by_rank, reverse=True)
    factor = triangular_factor(calibration.gram, 0.01)
    by_round = []
    for iterations in (1, 3, 6):
        found = quantised(weight, "int2-g16-r4", calibration, iterations=iterations)
        by_round.append(float(((weight.float() - found.dequantize(torch.float32)) @ factor).square().sum()))
    assert by_round[0] * 1.001 >= by_round[1]
    assert by_round[1] * 1.001 >= by_round[2]


def test_full_rank_takes_back_nearly_all():
    weight, calibration = draw(16, 16)
    found = quantised(weight, "int2-g16-r16", calibration)
    without = format_of("int2-g16").encode(format_of("int2-g16").fit(weight.float()), weight.float())
    assert loss(weight, found, calibration) < 1e-3 * loss(weight, without, calibration)


def test_without_calibration_the_weights_come_closer():
    weight, _ = draw(24, 48)
    found = quantised(weight, "int3-g16-r4", None)
    without = format_of("int3-g16").encode(format_of("int3-g16").fit(weight.float()), weight.float())
    errors = [(weight.float() - one.dequantize(torch.float32)).square().sum() for one in (found, without)]
    assert errors[0] < errors[1]


@settings(deadline=None, max_examples=20)
@given(outputs=st.integers(4, 30), inputs=st.integers(4, 30), rank=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_product_is_the_best_of_its_rank(outputs, inputs, rank, seed):
    """No small change of it is better, and its error is what the singular values left out say."""
    weight, calibration = draw(outputs, inputs, seed)
    factor = triangular_factor(calibration.gram, 0.01)
    left, right = closest(weight.float(), factor, rank)
    error = float(((weight.float() - left @ right) @ factor).square().sum())
    singular = torch.linalg.svdvals(weight.float() @ factor)
    assert error == pytest.approx(float(singular[rank:].square().sum()), rel=1e-2, abs=1e-4)


def test_large_matrices_are_searched_for_their_leading_directions():
    random = torch.Generator().manual_seed(1)
    matrix = torch.randn(150, 200, generator=random) @ torch.diag(torch.linspace(3, 0.1, 200))
    left, right = leading(matrix, 6)
    singular = torch.linalg.svdvals(matrix)
    kept = float((left @ right).square().sum())
    assert kept == pytest.approx(float(singular[:6].square().sum()), rel=0.01)
    torch.testing.assert_close(left.T @ left, torch.eye(6), rtol=1e-4, atol=1e-4)
    assert torch.equal(leading(matrix, 6)[0], left)


def test_the_value_is_the_sum():
    weight, calibration = draw(16, 32)
    found = quantised(weight, "int4-g16-r3", calibration)
    inner = found.format.inner
    parts = {name: part for name, part in found.parts.items() if name not in ("left", "right")}
    codes = type(found)(inner, found.shape, found.codes, parts).dequantize(torch.float32)
    expected = codes + found.parts["left"].float() @ found.parts["right"].float()
    torch.testing.assert_close(found.dequantize(torch.float32), expected)
    assert found.dequantize(torch.bfloat16).dtype == torch.bfloat16


def test_any_other_quantiser_leaves_the_correction_out():
    weight, calibration = draw(16, 32)
    low_rank, inner = format_of("int4-g16-r3"), format_of("int4-g16")
    for one, other in (
        (
            low_rank.encode(low_rank.fit(weight.float()), weight.float()),
            inner.encode(inner.fit(weight.float()), weight),
        ),
        (gptq(weight.float(), low_rank, calibration.gram), gptq(weight.float(), inner, calibration.gram)),
    ):
        assert torch.equal(one.dequantize(torch.bfloat16), other.dequantize(torch.bfloat16))


def test_labels_and_what_does_not_fit():
    assert format_of("int4-g128-r16").label == "int4-r16"
    assert "has no rank of 16" in format_of("int4-g8-r16").misfit((8, 64))
    assert "groups of 128" in format_of("int4-r16").misfit((64, 64))
    with pytest.raises(ConfigurationError, match="at least rank 1"):
        format_of("int4-r0")
    with pytest.raises(ConfigurationError, match="there is no format 'what'"):
        format_of("what-r4")
    with pytest.raises(ConfigurationError, match="loftq needs the rank of a correction: int4-r16"):
        Level.parse("loftq:int4")
    weight, _ = draw(16, 32)
    with pytest.raises(MaterialiseError, match="'gptq' to int4-g16: gptq must know the layer's inputs"):
        quantised(weight, "int4-g16-r2", None, quantizer="gptq")
    with pytest.raises(MaterialiseError, match="'spqr' to int4-g16: spqr needs a format"):
        quantised(weight, "int4-g16-r2", None, quantizer="spqr")
