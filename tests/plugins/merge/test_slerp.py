"""SLERP: ends, norms, halves and the cases in which there is no great circle."""

import math

import pytest
import torch
from heterosis.core.contracts import MergeParameters
from heterosis.plugins.merge.slerp import Slerp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

VECTORS = st.lists(st.floats(-3, 3, width=16), min_size=6, max_size=6).map(
    lambda v: torch.tensor(v, dtype=torch.float64)
)
SHARES = st.floats(0, 1)


def slerp(start, end, t):
    return Slerp().merge(start, [end], MergeParameters({}, {"t": t}))


def angle(left, right):
    cosine = (left @ right) / (left.norm() * right.norm())
    return math.acos(float(cosine.clamp(-1, 1)))


@st.composite
def pairs(draw):
    """Two vectors of some length that are not collinear."""
    left, right = draw(VECTORS), draw(VECTORS)
    assume(left.norm() > 0.1 and right.norm() > 0.1)
    assume(0.05 < angle(left, right) < math.pi - 0.05)
    return left, right


@given(pairs())
@settings(deadline=None, max_examples=50)
def test_the_ends_are_the_models(pair):
    start, end = pair
    assert torch.allclose(slerp(start, end, 0.0), start)
    assert torch.allclose(slerp(start, end, 1.0), end)


@given(pairs(), SHARES)
@settings(deadline=None, max_examples=50)
def test_backwards_from_the_other_end_is_the_same(pair, t):
    start, end = pair
    assert torch.allclose(slerp(start, end, t), slerp(end, start, 1 - t), atol=1e-6)


@given(pairs(), SHARES)
@settings(deadline=None, max_examples=50)
def test_between_vectors_of_one_norm_the_norm_is_kept_and_the_angle_shared(pair, t):
    start, end = (vector / vector.norm() * 2 for vector in pair)
    between = slerp(start, end, t)
    assert float(between.norm()) == pytest.approx(2.0, rel=1e-6)
    assert angle(start, between) == pytest.approx(t * angle(start, end), abs=1e-4)


@given(pairs(), SHARES)
@settings(deadline=None, max_examples=50)
def test_the_formula_is_shoemakes(pair, t):
    start, end = pair
    whole = angle(start, end)
    expected = (math.sin((1 - t) * whole) * start + math.sin(t * whole) * end) / math.sin(whole)
    assert torch.allclose(slerp(start, end, t), expected, rtol=1e-5, atol=1e-6)


@given(VECTORS, st.floats(0.1, 5), SHARES)
@settings(deadline=None, max_examples=50)
def test_collinear_vectors_are_interpolated_linearly(vector, factor, t):
    assume(vector.norm() > 0.1)
    assert torch.allclose(slerp(vector, factor * vector, t), (1 - t + t * factor) * vector, atol=1e-6)
    assert torch.allclose(slerp(vector, -vector, t), (1 - 2 * t) * vector, atol=1e-6)


@given(VECTORS, SHARES)
@settings(deadline=None, max_examples=50)
def test_a_zero_vector_gives_finite_values_and_the_right_ends(vector, t):
    zeros = torch.zeros_like(vector)
    assert slerp(zeros, vector, t).isfinite().all()
    assert torch.allclose(slerp(zeros, vector, 0.0), zeros)
    assert torch.allclose(slerp(zeros, vector, 1.0), vector)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_worked_in_float32(dtype):
    generator = torch.Generator().manual_seed(2)
    start, end = (torch.randn(64, 64, generator=generator).to(dtype) for _ in range(2))
    assert torch.equal(slerp(start, end, 0.3), slerp(start.float(), end.float(), 0.3).to(dtype))


def test_the_angle_is_taken_over_the_whole_tensor():
    generator = torch.Generator().manual_seed(2)
    start, end = (torch.randn(5, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    assert torch.allclose(slerp(start, end, 0.3).reshape(-1), slerp(start.reshape(-1), end.reshape(-1), 0.3))
