"""Rotating merged tensors, and what is known of their inputs, as the plan says."""

from __future__ import annotations

import torch

from ..contracts import Calibration
from ..errors import MaterialiseError
from ..plan import Operand, TensorPlan
from ..quantization.rotation import Rotation
from ..rotate import RotateStep
from .job import Job
from .operands import Operands


def rotate_into(tensor: TensorPlan, target: torch.Tensor, operands: Operands) -> None:
    """Replaces a merged tensor by the rotated one; does nothing if the plan does not rotate it.

    Computed in float32, or in float64 if the tensor is of that.

    Raises:
        MaterialiseError: a value is too large for the tensor's dtype.
    """
    step = tensor.rotate
    if step is None:
        return
    if step.role == "norm":
        target.fill_(1)
        return
    wide = target.to(torch.promote_types(target.dtype, torch.float32))
    if step.role == "writes":
        result = _turned(step, wide.T, operands).T if wide.dim() == 2 else _turned(step, wide, operands)
    else:
        gain = _gain(step, target.device, operands)
        result = _turned(step, wide if gain is None else wide * gain.to(wide), operands)
    if not result.to(target.dtype).isfinite().all():
        raise MaterialiseError(f"{tensor.name} has values that are not finite after it was rotated")
    target.copy_(result)


def rotated_calibration(step: RotateStep, known: Calibration, operands: Operands) -> Calibration:
    """What is known of a rotated layer's inputs, from what is known of them before: those of a layer that writes are
    as they were.

    Others were gathered behind the norm's gain, which comes off: R^T diag(1/g) G diag(1/g) R. Of a feature whose gain
    is 0 nothing is known but that features behind a norm have a mean square of 1. Largest magnitudes are not known of
    rotated features.
    """
    if step.role != "reads":
        return known
    gram = known.gram
    gain = _gain(step, gram.device, operands)
    if gain is not None:
        wide = gain.to(gram)
        scale = torch.where(wide != 0, 1 / wide, 0)
        gram = gram * scale[:, None] * scale[None, :]
        gram.diagonal().add_((wide == 0).to(gram))
    gram = _turned(step, _turned(step, gram, operands).T, operands)
    return Calibration((gram + gram.T).div_(2), None)


def _turned(step: RotateStep, rows: torch.Tensor, operands: Operands) -> torch.Tensor:
    """Rows times R, for rows as `Rotation.apply` takes them."""
    if isinstance(step.rotation, Rotation):
        return step.rotation.apply(rows)
    return rows @ operands[Operand(step.rotation.checkpoint, step.rotation.tensor)].whole().to(rows)


def _gain(step: RotateStep, device: torch.device, operands: Operands) -> torch.Tensor | None:
    if step.gain is None:
        return None
    result = torch.empty(step.gain.info.shape, dtype=step.gain.info.dtype, device=device)
    Job(step.gain, operands, result).run()
    return result
