"""GPTQ in the turned space."""

from __future__ import annotations

import pytest
import torch
from heterosis.core.contracts import Calibration
from heterosis.core.errors import ConfigurationError, MaterialiseError
from heterosis.core.quantization.level import Level
from heterosis.plugins.quantize.column_rounding import proxy_loss


def a_layer() -> tuple[torch.Tensor, torch.Tensor]:
    """A weight with outliers, and second moments of correlated inputs."""
    generator = torch.Generator().manual_seed(0)
    weight = (torch.randn(96, 128, generator=generator) ** 3).bfloat16()
    mixing = torch.randn(128, 128, generator=generator) / 128**0.5 + torch.eye(128)
    inputs = torch.randn(2048, 128, generator=generator) @ mixing
    return weight, inputs.T @ inputs / len(inputs)


def loss(label: str) -> float:
    weight, gram = a_layer()
    level = Level.parse(label)
    assert level is not None
    found = level.plugin.quantize(weight, level.format, Calibration(gram), level.plugin.options)
    assert found.format == level.format
    return proxy_loss(weight, found.dequantize(torch.float32), gram)


@pytest.mark.parametrize("inner", ["mxfp4", "nvfp4", "int4-g32"])
def test_it_beats_rounding_with_and_without_the_rotation_and_gptq_without(inner: str) -> None:
    ours = loss(f"mr_gptq:{inner}-h32")
    assert ours < 0.8 * loss(f"{inner}-h32")
    if inner != "nvfp4":  # whose blocks are so small that turning spreads outliers rather than hiding them
        assert ours < loss(f"gptq:{inner}")
        assert ours < 0.8 * loss(inner)


def test_the_same_again() -> None:
    assert loss("mr_gptq:mxfp4-h32") == loss("mr_gptq:mxfp4-h32")


def test_it_needs_a_rotation_and_calibration_of_this_layer() -> None:
    with pytest.raises(ConfigurationError, match="mxfp4-h32"):
        Level.parse("mr_gptq:mxfp4")
    weight, gram = a_layer()
    level = Level.parse("mr_gptq:mxfp4-h32")
    assert level is not None
    assert level.plugin.needs_calibration
    with pytest.raises(MaterialiseError, match="64 inputs"):
        level.plugin.quantize(weight, level.format, Calibration(gram[:64, :64]), level.plugin.options)


def test_plain_gptq_refuses_rather_than_rounding_in_the_wrong_space() -> None:
    weight, gram = a_layer()
    level = Level.parse("gptq:int4-g32")
    assert level is not None
    rotated = Level.parse("int4-g32-h32")
    assert rotated is not None
    with pytest.raises(MaterialiseError, match="mr_gptq"):
        level.plugin.quantize(weight, rotated.format, Calibration(gram), level.plugin.options)
