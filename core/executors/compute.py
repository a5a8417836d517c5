"""One tensor of a plan, computed: the function that the live and the disk executor share, so that they agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from .. import registry
from ..checkpoints import Checkpoint
from ..contracts.merge_method import MergeMethod, MergeParameters
from ..errors import MaterialiseError
from ..plan import MergeStep, TensorPlan

BLOCK_ELEMENTS = 1 << 18
"""An element-wise merge goes through a tensor in blocks of so many, whose intermediate results stay in the cache."""


def compute(
    tensor: TensorPlan,
    sources: Mapping[str, Checkpoint],
    device: torch.device | str = "cpu",
    into: torch.Tensor | None = None,
) -> torch.Tensor:
    """The planned tensor, in its final dtype.

    Args:
        into: written and returned if given (of the planned shape and dtype, contiguous); else a new tensor on `device`
            is made. If an error is raised, what was written of it is finite.

    Raises:
        MaterialiseError: the result is not finite, or has not the planned shape.
    """
    (step,) = tensor.steps
    method: MergeMethod = registry.load("merge_methods", step.method)()
    base = None if step.base is None else sources[step.base.checkpoint].read(step.base.tensor)
    inputs = [sources[operand.checkpoint].read(operand.tensor) for operand in step.sources]
    result = torch.empty(tensor.info.shape, dtype=tensor.info.dtype, device=device) if into is None else into
    with torch.no_grad():
        if method.elementwise and result.device.type == "cpu":
            flat = result.view(-1)
            for start in range(0, max(flat.numel(), 1), BLOCK_ELEMENTS):
                block = slice(start, start + BLOCK_ELEMENTS)
                parts = [part.reshape(-1)[block] for part in inputs]
                merged = _merge(method, step, None if base is None else base.reshape(-1)[block], parts, result.device)
                _put(merged, flat[block], tensor.name, step)
        else:
            _put(_merge(method, step, base, inputs, result.device), result, tensor.name, step)
    return result


def _merge(
    method: MergeMethod,
    step: MergeStep,
    base: torch.Tensor | None,
    inputs: Sequence[torch.Tensor],
    device: torch.device,
) -> torch.Tensor:
    ancestor = None if base is None else base.to(device, step.dtype)
    tensors = [tensor.to(device, step.dtype) for tensor in inputs]
    return method.merge(ancestor, tensors, MergeParameters(step.per_source, step.shared, step.seed))


def _put(merged: torch.Tensor, target: torch.Tensor, name: str, step: MergeStep) -> None:
    if merged.shape != target.shape:
        raise MaterialiseError(
            f"{name}: {step.method} gave the shape {list(merged.shape)}, planned was {list(target.shape)}"
        )
    final = merged.to(target.dtype)
    if final.is_floating_point() and not _is_finite(final):
        raise MaterialiseError(f"{name} has values that are not finite after {step.method}")
    target.copy_(final)


def _is_finite(tensor: torch.Tensor) -> bool:
    # One pass without a mask: a sum is finite unless an element is not (or the sum overflows, which is told apart).
    return math.isfinite(tensor.sum(dtype=torch.float32).item()) or bool(torch.isfinite(tensor).all())
