"""One tensor of a plan, computed: the function that the live and the disk executor share, so that they agree."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from .. import registry
from ..checkpoints import Checkpoint
from ..contracts.merge_method import MergeMethod, MergeParameters
from ..errors import MaterialiseError
from ..plan import MergeStep, TensorPlan


def compute(tensor: TensorPlan, sources: Mapping[str, Checkpoint], device: torch.device | str = "cpu") -> torch.Tensor:
    """The planned tensor, in its final dtype, on `device`.

    Raises:
        MaterialiseError: the result is not finite, or has not the planned shape.
    """
    (step,) = tensor.steps
    result = _merge(step, tensor.name, sources, device).to(tensor.info.dtype)
    if tuple(result.shape) != tensor.info.shape:
        raise MaterialiseError(
            f"{tensor.name}: {step.method} gave the shape {list(result.shape)}, planned was {list(tensor.info.shape)}"
        )
    if result.is_floating_point() and not _is_finite(result):
        raise MaterialiseError(f"{tensor.name} has values that are not finite after {step.method}")
    return result


def _merge(step: MergeStep, name: str, sources: Mapping[str, Checkpoint], device: torch.device | str) -> torch.Tensor:
    method: MergeMethod = registry.load("merge_methods", step.method)()
    base = None if step.base is None else sources[step.base].read(name).to(device, step.dtype)
    tensors = [sources[reference].read(name).to(device, step.dtype) for reference in step.sources]
    with torch.no_grad():
        return method.merge(base, tensors, MergeParameters(step.per_source, step.shared, step.seed))


def _is_finite(tensor: torch.Tensor) -> bool:
    # One pass without a mask: a sum is finite unless an element is not (or the sum overflows, which is told apart).
    return math.isfinite(tensor.sum(dtype=torch.float32).item()) or bool(torch.isfinite(tensor).all())
