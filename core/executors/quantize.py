"""Quantising the merged tensors of a plan: what the live executor dequantises, and exporters pack."""

from __future__ import annotations

import torch

from ..checkpoints.statistics import StatisticsFile
from ..contracts import Calibration
from ..errors import MaterialiseError
from ..plan import Operand, QuantizeStep, TensorPlan
from ..quantization.calibration import calibration_of
from ..quantized_tensor import QuantizedTensor
from .operands import Operands


def quantize(name: str, step: QuantizeStep, weight: torch.Tensor, operands: Operands) -> QuantizedTensor:
    """Quantises a merged weight, which is left as it is.

    Args:
        weight: in the dtype of the model.

    Raises:
        MaterialiseError: it cannot be done with these numbers.
    """
    try:
        return step.level.plugin.quantize(weight, step.level.format, _calibration(step, operands), step.options)
    except MaterialiseError as error:
        raise MaterialiseError(f"{name}, quantised to {step.level.label}: {error}") from error


def quantize_into(tensor: TensorPlan, target: torch.Tensor, operands: Operands) -> None:
    """Replaces a merged tensor by what its quantised form stands for; does nothing if the plan does not quantise it."""
    if tensor.quantize is None:
        return
    quantized = quantize(tensor.name, tensor.quantize, target, operands)
    values = quantized.dequantize(target.dtype)
    if not values.isfinite().all():
        raise MaterialiseError(f"{tensor.name} has values that are not finite after {tensor.quantize.level.label}")
    target.copy_(values)
    operands.roundings[tensor.name] = tensor.quantize.level.plugin.activations(quantized)


def _calibration(step: QuantizeStep, operands: Operands) -> Calibration | None:
    if not step.calibration:
        return None
    grams = [operands[operand].whole() for operand in step.calibration]
    return calibration_of(grams, [_maxima(operand, operands) for operand in step.calibration], step.shares)


def _maxima(operand: Operand, operands: Operands) -> torch.Tensor | None:
    statistics = operands.sources[operand.checkpoint]
    return statistics.maxima(operand.tensor) if isinstance(statistics, StatisticsFile) else None
