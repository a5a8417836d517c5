"""GPTQ: outputs are closer to what they were than with plain rounding, whatever the grid."""

from __future__ import annotations

import pytest
import torch
from heterosis.core.contracts import Calibration
from heterosis.core.errors import MaterialiseError
from heterosis.core.quantization.level import format_of
from heterosis.plugins.quantize.column_rounding import proxy_loss, triangular_factor
from heterosis.plugins.quantize.gptq import OPTIONS, Gptq, gptq
from hypothesis import given, settings
from hypothesis import strategies as st


def draw(outputs, inputs, seed=0, tokens=None):
    """A weight, and the second moments of inputs that are correlated and of unlike sizes."""
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=random) / inputs**0.5
    mixing = torch.randn(inputs, inputs, generator=random) * torch.rand(inputs, generator=random) ** 2
    rows = torch.randn(tokens or 4 * inputs, inputs, generator=random) @ mixing
    return weight, rows.T @ rows / len(rows)


def rounded(weight, label, gram=None, search="minmax"):
    format_ = format_of(label)
    importance = None if gram is None else gram.diagonal()
    return format_.encode(format_.fit(weight, importance, search), weight)


def loss(weight, quantized, gram):
    return proxy_loss(weight, quantized.dequantize(torch.float32), gram)


@settings(deadline=None, max_examples=25)
@given(
    outputs=st.integers(16, 48),  # a single row may lose by bad luck, many do not
    groups=st.integers(2, 6),
    label=st.sampled_from(["int2-g16", "int2-g16-asym", "int2-channel"]),
    act_order=st.booleans(),
    seed=st.integers(0, 99),
)
def test_two_bits_lose_less_than_rounded_to_nearest(outputs, groups, label, act_order, seed):
    weight, gram = draw(outputs, 16 * groups, seed)
    found = gptq(weight, format_of(label), gram, {**OPTIONS, "act_order": act_order})
    assert loss(weight, found, gram) < loss(weight, rounded(weight, label), gram)


@settings(deadline=None, max_examples=15)
@given(block=st.integers(1, 70), act_order=st.booleans(), seed=st.integers(0, 99))
def test_the_block_size_changes_nothing_but_rounding_errors(block, act_order, seed):
    weight, gram = draw(12, 64, seed)
    one, other = (
        gptq(weight, format_of("int3-g16"), gram, {**OPTIONS, "act_order": act_order, "block": size})
        for size in (64, block)
    )
    assert (one.codes != other.codes).double().mean() < 0.02
    assert loss(weight, one, gram) == pytest.approx(loss(weight, other, gram), rel=0.02)


@pytest.mark.parametrize("label", ["int2-g16", "int4-channel", "int3-g32-asym", "int8-tensor"])
@pytest.mark.parametrize("act_order", [True, False])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_inputs_that_are_not_correlated_are_rounded_to_nearest(label, act_order, scale):
    weight, _ = draw(24, 64)
    found = gptq(weight, format_of(label), scale * torch.eye(64), {**OPTIONS, "act_order": act_order})
    plain = rounded(weight, label)
    assert torch.equal(found.codes, plain.codes)
    assert found.codes.dtype == plain.codes.dtype
    assert all(torch.equal(found.parts[name], part) for name, part in plain.parts.items())


def test_it_is_the_algorithm_of_the_paper():
    """With the Cholesky factor of the inverse, column after column, as section 3 of Frantar et al. has it."""
    weight, gram = draw(10, 48)
    format_ = format_of("int4-g16")
    grid = format_.fit(weight)
    damped = gram.double() + 0.01 * gram.diagonal().mean() * torch.eye(48)
    upper = torch.linalg.cholesky(torch.linalg.inv(damped), upper=True)
    work, expected = weight.double(), torch.empty_like(weight)
    for column in range(48):
        expected[:, column] = grid.nearest(work[:, column : column + 1].float(), column)[:, 0]
        error = (work[:, column] - expected[:, column]) / upper[column, column]
        work[:, column:] -= error[:, None] * upper[column, column:]
    found = gptq(weight, format_, gram, {**OPTIONS, "act_order": False})
    assert torch.equal(grid.values(found.codes), expected)


def test_the_factor_is_of_the_raised_matrix():
    _, gram = draw(1, 32)
    factor = triangular_factor(gram, 0.01)
    raised = gram + 0.01 * gram.diagonal().mean() * torch.eye(32)
    torch.testing.assert_close(factor @ factor.T, raised, rtol=1e-4, atol=1e-4 * float(raised.max()))
    assert torch.equal(factor, factor.triu())
    assert (factor.diagonal() > 0).all()


def test_the_proxy_loss_is_the_squared_error_of_the_outputs():
    weight, _ = draw(6, 16)
    rows = torch.randn(50, 16)
    other = weight + 0.1 * torch.randn(6, 16)
    expected = ((rows @ (weight - other).T) ** 2).sum(1).mean()
    assert proxy_loss(weight, other, rows.T @ rows / 50) == pytest.approx(float(expected), rel=1e-4)


def test_groups_that_are_fitted_on_the_way_keep_the_format():
    weight, gram = draw(16, 64)
    options = {**OPTIONS, "static_groups": False, "act_order": False}
    found = gptq(weight, format_of("int3-g16-asym"), gram, options)
    plain = rounded(weight, "int3-g16-asym")
    assert {name: part.shape for name, part in found.parts.items()} == {
        name: part.shape for name, part in plain.parts.items()
    }
    assert loss(weight, found, gram) < loss(weight, plain, gram)
    nothing_moves = gptq(weight, format_of("int3-g16-asym"), torch.eye(64), options)
    assert torch.equal(nothing_moves.codes, plain.codes)
    assert all(torch.equal(nothing_moves.parts[name], part) for name, part in plain.parts.items())


def test_features_that_were_never_seen_are_rounded_to_nearest():
    weight, gram = draw(8, 32)
    dead = torch.tensor([3, 17, 31])
    gram[dead] = 0
    gram[:, dead] = 0
    found = gptq(weight, format_of("int4-g16"), gram)
    assert torch.equal(found.codes[:, dead], rounded(weight, "int4-g16").codes[:, dead])
    nothing_seen = gptq(weight, format_of("int4-g16"), torch.zeros(32, 32))
    assert torch.equal(nothing_seen.codes, rounded(weight, "int4-g16").codes)


@pytest.mark.parametrize("tokens", [1, 5])
def test_fewer_tokens_than_features(tokens):
    weight, gram = draw(8, 64, tokens=tokens)
    for damping in (0.01, 0.0):
        found = gptq(weight, format_of("int3-g16"), gram, {**OPTIONS, "damping": damping})
        assert found.dequantize(torch.float32).isfinite().all()
        assert loss(weight, found, gram) < loss(weight, rounded(weight, "int3-g16"), gram)


def test_the_quantiser_leaves_its_inputs_and_repeats_itself():
    weight, gram = draw(8, 32)
    weight = weight.bfloat16()
    before = weight.clone(), gram.clone()
    one, other = (Gptq().quantize(weight, format_of("int3-g16"), Calibration(gram), OPTIONS) for _ in range(2))
    assert torch.equal(one.codes, other.codes)
    assert torch.equal(weight, before[0])
    assert torch.equal(gram, before[1])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_statistics_that_are_not_finite(value):
    weight, gram = draw(4, 16)
    gram[2, 3] = value
    with pytest.raises(MaterialiseError, match=r"not finite.*gather the calibration statistics again"):
        gptq(weight, format_of("int4-g16"), gram)


def test_statistics_of_another_layer():
    weight, _ = draw(4, 16)
    with pytest.raises(MaterialiseError, match="a layer with 8 inputs, but the weight has 16"):
        gptq(weight, format_of("int4-g16"), torch.eye(8))


def test_statistics_that_are_no_second_moments():
    weight, _ = draw(4, 16)
    with pytest.raises(MaterialiseError, match="negative"):
        gptq(weight, format_of("int4-g16"), -torch.eye(16))
    indefinite = torch.full((16, 16), 1e6).fill_diagonal_(1.0)
    indefinite[0, 1] = indefinite[1, 0] = -1e6
    with pytest.raises(MaterialiseError, match="not positive semidefinite"):
        gptq(weight, format_of("int4-g16"), indefinite)


def test_options_that_clash():
    weight, gram = draw(4, 16)
    with pytest.raises(MaterialiseError, match="`act_order` needs `static_groups`"):
        gptq(weight, format_of("int4-g16"), gram, {**OPTIONS, "static_groups": False})
    with pytest.raises(MaterialiseError, match="groups of columns, such as int4-g128 has, not int4-channel"):
        gptq(weight, format_of("int4-channel"), gram, {**OPTIONS, "static_groups": False, "act_order": False})
