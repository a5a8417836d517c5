"""Quantising the merged tensors of a plan: what the live executor dequantises, and exporters pack."""

from __future__ import annotations

import torch

from ..checkpoints.statistics import StatisticsFile
from ..contracts import Calibration
from ..errors import MaterialiseError
from ..plan import Operand, TensorPlan
from ..quantization.calibration import calibration_of
from ..quantized_tensor import QuantizedTensor
from .operands import Operands
from .rotate import rotated_calibration


def quantize(tensor: TensorPlan, weight: torch.Tensor, operands: Operands) -> QuantizedTensor:
    """Quantises a weight that the plan quantises, merged and rotated already; it is left as it is.

    Args:
        weight: in the dtype of the model.

    Raises:
        MaterialiseError: it cannot be done with these numbers.
    """
    step = tensor.quantize
    assert step is not None
    known = calibration(tensor, operands)
    try:
        return step.level.plugin.quantize(weight, step.level.format, known, step.options)
    except MaterialiseError as error:
        raise MaterialiseError(f"{tensor.name}, quantised to {step.level.label}: {error}") from error


def quantize_into(tensor: TensorPlan, target: torch.Tensor, operands: Operands) -> None:
    """Replaces a merged tensor by what its quantised form stands for; does nothing if the plan does not quantise it."""
    if tensor.quantize is None:
        return
    quantized = quantize(tensor, target, operands)
    values = quantized.dequantize(target.dtype)
    if not values.isfinite().all():
        raise MaterialiseError(f"{tensor.name} has values that are not finite after {tensor.quantize.level.label}")
    target.copy_(values)
    operands.arithmetic[tensor.name] = tensor.quantize.level.plugin.arithmetic(quantized)


def calibration(tensor: TensorPlan, operands: Operands) -> Calibration | None:
    """What is known of the inputs of a planned layer; None if nothing is."""
    step = tensor.quantize
    if step is None or not step.calibration:
        return None
    grams = [operands[operand].whole() for operand in step.calibration]
    known = calibration_of(grams, [_maxima(operand, operands) for operand in step.calibration], step.shares)
    return known if tensor.rotate is None else rotated_calibration(tensor.rotate, known, operands)


def _maxima(operand: Operand, operands: Operands) -> torch.Tensor | None:
    statistics = operands.sources[operand.checkpoint]
    return statistics.maxima(operand.tensor) if isinstance(statistics, StatisticsFile) else None
