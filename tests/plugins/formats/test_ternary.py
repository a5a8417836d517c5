"""Ternary and binary formats: BitNet's scale, and the best one."""

from __future__ import annotations

import pytest
import torch
from heterosis.core.quantization.level import format_of
from hypothesis import given, settings
from hypothesis import strategies as st


def draw(seed=0, shape=(6, 40)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_plain_scale_is_bitnets():
    weight = draw()
    gamma = weight.abs().mean()
    expected = (weight / gamma).round().clamp(-1, 1) * gamma
    form = format_of("ternary-tensor")
    torch.testing.assert_close(form.fit(weight, dtype=torch.float32).nearest(weight), expected)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99), weighed=st.booleans(), family=st.sampled_from(["ternary", "binary"]))
def test_mse_has_the_best_of_all_scales(seed, weighed, family):
    weight = draw(seed)
    importance = torch.rand(40, generator=torch.Generator().manual_seed(seed)) + 0.01 if weighed else None
    counts = torch.ones(40) if importance is None else importance
    grid = format_of(f"{family}-channel").fit(weight, importance, "mse", torch.float32)
    found = ((grid.nearest(weight) - weight).square() * counts).sum(1)
    for scale in torch.linspace(0.05, 3, 200):
        codes = weight.sign() if family == "binary" else (weight / scale).round().clamp(-1, 1)
        assert (found <= ((codes * scale - weight).square() * counts).sum(1) * (1 + 1e-4)).all()


def test_binary_is_the_sign_times_the_mean_magnitude():
    weight = draw()
    expected = weight.sign() * weight.abs().mean(1, keepdim=True)
    torch.testing.assert_close(format_of("binary-channel").fit(weight, dtype=torch.float32).nearest(weight), expected)


def test_sizes():
    assert format_of("ternary-g20").nbytes((6, 40)) == 6 * 8 + 2 * 12
    assert format_of("ternary-channel").nbytes((6, 41)) == 6 * 9 + 2 * 6
    assert format_of("binary-tensor").nbytes((6, 41)) == 6 * 6 + 2


@pytest.mark.parametrize("family", ["ternary", "binary"])
def test_labels(family):
    assert format_of(f"{family}-g128").label == family
