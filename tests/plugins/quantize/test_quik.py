"""QUIK: columns with the largest inputs stay whole and take up the errors of the others."""

from __future__ import annotations

import pytest
import torch
from heterosis.core.contracts import Calibration
from heterosis.core.errors import ConfigurationError, MaterialiseError
from heterosis.core.quantization.activations import ActivationRounding
from heterosis.core.quantization.level import Level
from heterosis.plugins.formats.integer import IntegerFormat
from heterosis.plugins.formats.quik import QuikFormat
from heterosis.plugins.quantize.column_rounding import proxy_loss
from heterosis.plugins.quantize.quik import Quik
from hypothesis import given, settings
from hypothesis import strategies as st


def draw(outputs, inputs, wild=(), seed=0):
    """A bfloat16 weight, and the calibration of correlated inputs, of which some features are much larger."""
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=random) / inputs**0.5
    rows = torch.randn(4 * inputs, inputs, generator=random) @ torch.randn(inputs, inputs, generator=random)
    rows[:, list(wild)] *= 20
    return weight.bfloat16(), Calibration(rows.T @ rows / len(rows), rows.abs().amax(0))


def quantised(weight, label, calibration, **options):
    return Quik().quantize(weight, QuikFormat.parse(label), calibration, {**Quik.options, **options})


def test_columns_with_the_largest_inputs_are_kept():
    weight, calibration = draw(24, 64, wild=(5, 17, 40))
    found = quantised(weight, "quik-4b-o3", calibration)
    assert found.parts["kept_columns"].tolist() == [5, 17, 40]
    assert Quik().arithmetic(found) == ActivationRounding(4, symmetric=False, columns=(5, 17, 40))
    kept = found.parts["kept_values"]
    assert torch.equal(found.dequantize(torch.bfloat16)[:, [5, 17, 40]], kept)
    assert not found.codes[:, [5, 17, 40]].any()
    assert not torch.equal(kept, weight[:, [5, 17, 40]])  # they have taken up the others' errors


def test_maxima_decide_and_mean_squares_where_there_are_none():
    weight, calibration = draw(8, 32, wild=(4,))
    maxima = calibration.maxima.clone()
    maxima[9] = 1e4
    spiked = quantised(weight, "quik-4b-o1", Calibration(calibration.gram, maxima))
    assert spiked.parts["kept_columns"].tolist() == [9]
    old = quantised(weight, "quik-4b-o1", Calibration(calibration.gram))
    assert old.parts["kept_columns"].tolist() == [4]


@settings(deadline=None, max_examples=20)
@given(
    outputs=st.integers(16, 40),
    inputs=st.integers(8, 70),
    kept=st.integers(1, 7),
    block=st.integers(1, 64),
    act_order=st.booleans(),
    seed=st.integers(0, 99),
)
def test_keeping_columns_costs_the_outputs_less(outputs, inputs, kept, block, act_order, seed):
    weight, calibration = draw(outputs, inputs, wild=(1, 3), seed=seed)
    found = quantised(weight, f"quik-4b-o{kept}", calibration, act_order=act_order, block=block)
    plain = QuikFormat(4, kept)
    rounded = plain.encode(plain.fit(weight.float(), calibration.importance), weight.float())
    losses = [proxy_loss(weight, one.dequantize(torch.float32), calibration.gram) for one in (found, rounded)]
    assert losses[0] < losses[1]
    assert found.nbytes == IntegerFormat(4, 0).nbytes((outputs, inputs - kept)) + kept * (2 * outputs + 2)


def test_inputs_that_are_not_correlated_are_rounded_to_nearest():
    weight, _ = draw(16, 32)
    calibration = Calibration(torch.eye(32), torch.arange(32.0))
    format_ = QuikFormat(4, 5)
    plain = format_.encode(format_.fit(weight.float(), calibration.maxima), weight.float())
    found = quantised(weight, "quik-4b-o5", calibration, search="minmax")
    assert torch.equal(found.dequantize(torch.bfloat16), plain.dequantize(torch.bfloat16))
    assert torch.equal(found.dequantize(torch.bfloat16)[:, 27:], weight[:, 27:])


def test_labels_and_what_does_not_fit():
    assert QuikFormat.parse("quik-4b-o256").label == "quik-4b"
    assert QuikFormat.parse("quik-8b-o16").label == "quik-8b-o16"
    assert "256 columns cannot be kept of its 64; name fewer" in QuikFormat(4).misfit((8, 64))
    with pytest.raises(ConfigurationError, match="codes have 2 to 8 bits"):
        QuikFormat.parse("quik-9b")
    with pytest.raises(ConfigurationError, match="quik needs a format that it names, such as quik-4b-o64"):
        Level.parse("quik:int4")
    weight, _ = draw(4, 16)
    with pytest.raises(MaterialiseError, match="a layer with 8 inputs, but the weight has 16"):
        quantised(weight, "quik-4b-o2", Calibration(torch.eye(8), torch.ones(8)))
