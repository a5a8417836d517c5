"""Rounding of activations: the formulas of the papers, and layers of a model that use them."""

from __future__ import annotations

import copy

import pytest
import torch
from heterosis.core.errors import MaterialiseError
from heterosis.core.executors.activation_hooks import ActivationHooks
from heterosis.core.quantization.activations import ActivationRounding
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(2, 24))


def draw(shape, seed=0, size=1.0):
    return size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(SHAPES, st.integers(2, 8), st.booleans(), st.integers(0, 9))
def test_errors_are_at_most_half_a_step(shape, bits, symmetric, seed):
    inputs = draw(shape, seed)
    found = ActivationRounding(bits, symmetric).apply(inputs)
    if symmetric:
        step = inputs.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
    else:
        step = (inputs.amax(-1, keepdim=True) - inputs.amin(-1, keepdim=True)) / (2**bits - 1)
    assert found.shape == inputs.shape
    assert ((found - inputs).abs() <= step * 0.501 + 1e-6).all()
    codes = (found / step if symmetric else (found - inputs.amin(-1, keepdim=True)) / step).nan_to_num()
    torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0)


@settings(deadline=None)
@given(SHAPES, st.booleans(), st.integers(0, 9))
def test_each_token_is_rounded_by_itself(shape, symmetric, seed):
    inputs = draw(shape, seed)
    rounding = ActivationRounding(4, symmetric)
    together = rounding.apply(inputs)
    one_by_one = torch.stack([rounding.apply(token) for token in inputs.flatten(0, 1)]).reshape(shape)
    assert torch.equal(together, one_by_one)


def test_features_that_are_kept_do_not_widen_the_others_range():
    inputs = draw((5, 16))
    wild = inputs.clone()
    wild[:, [3, 9]] *= 1000
    for symmetric in (True, False):
        found = ActivationRounding(4, symmetric, columns=(3, 9)).apply(wild)
        assert torch.equal(found[:, [3, 9]], wild[:, [3, 9]])
        others = [column for column in range(16) if column not in (3, 9)]
        assert torch.equal(found[:, others], ActivationRounding(4, symmetric).apply(inputs[:, others]))


def test_tokens_of_nothing_stay_nothing():
    for rounding in (ActivationRounding(8), ActivationRounding(4, symmetric=False)):
        assert torch.equal(rounding.apply(torch.zeros(2, 3, 8)), torch.zeros(2, 3, 8))
    every = ActivationRounding(4, symmetric=False, columns=tuple(range(8)))
    assert torch.equal(every.apply(draw((3, 8))), draw((3, 8)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 4, bias=False)).requires_grad_(False)


def test_hooks_are_set_changed_and_taken_out(model):
    plain, inputs = copy.deepcopy(model), draw((3, 5, 16))
    hooks = ActivationHooks(model)
    eight, four = ActivationRounding(8), ActivationRounding(4)
    hooks.set({"0": four, "2": None})
    expected = plain[2](plain[1](plain[0](four.apply(inputs))))
    torch.testing.assert_close(model(inputs), expected)
    assert not torch.allclose(model(inputs), plain(inputs), atol=1e-4)
    hooks.set({"0": four})
    torch.testing.assert_close(model(inputs), expected)
    hooks.set({"2": eight})
    assert dict(hooks.installed) == {"2": eight}
    torch.testing.assert_close(model(inputs), plain[2](eight.apply(plain[1](plain[0](inputs)))))
    hooks.clear()
    assert not hooks.installed
    assert torch.equal(model(inputs), plain(inputs))
    hooks.clear()


def test_hooks_see_weights_that_change_beneath_them(model):
    hooks, inputs = ActivationHooks(model), draw((5, 16))
    hooks.set({"0": ActivationRounding(4)})
    before = model(inputs)
    model[0].weight.mul_(-2)
    assert not torch.allclose(model(inputs), before)
    assert model.state_dict().keys() == {"0.weight", "0.bias", "2.weight"}


def test_the_dtype_of_the_model_comes_back(model):
    model.bfloat16()
    ActivationHooks(model).set({"0": ActivationRounding(8)})
    assert model(draw((5, 16)).bfloat16()).dtype == torch.bfloat16


def test_what_is_no_linear_layer_is_refused_before_anything_changes(model):
    hooks = ActivationHooks(model)
    hooks.set({"0": ActivationRounding(4)})
    for name in ("1", "7", "0.weight"):
        with pytest.raises(MaterialiseError, match=f"'{name}' cannot be rounded: .* no linear layer of that name"):
            hooks.set({"2": ActivationRounding(8), name: ActivationRounding(8)})
    assert dict(hooks.installed) == {"0": ActivationRounding(4)}
