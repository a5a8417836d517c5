"""Plans over adapters of one base: how much of which adapter's low-rank change is added to each tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import torch

from ..core import registry
from ..core.checkpoints import Checkpoint
from ..core.checkpoints.adapter import AdapterCheckpoint
from ..core.contracts import MergeMethod, MergeParameters, OnePassMethod
from ..core.forms import Form, TaskVectorSum, WeightedSum
from ..core.plan import MergeStep, Plan, TensorPlan

Coefficients: TypeAlias = Mapping[str, Mapping[str, float]]
"""By tensor, then by an adapter's reference: what its change is multiplied with. Tensors left alone are not named."""

_ROUNDING = 1e-6
"""How far weights that stand for a mean may sum from 1."""
_EXACT = (torch.float32, torch.float64)


def coefficients(planned: Plan, base: Plan) -> Coefficients | None:
    """The planned model as the base plus multiples of adapters' changes.

    Args:
        base: the plan of the base itself, in the dtypes wanted.

    Returns:
        None if the planned model is anything else, or its coefficients are not finite.
    """
    if [(tensor.name, tensor.info) for tensor in planned.tensors] != [
        (tensor.name, tensor.info) for tensor in base.tensors
    ]:
        return None
    found: dict[str, Mapping[str, float]] = {}
    for tensor in planned.tensors:
        if not tensor.info.dtype.is_floating_point:
            continue
        of_adapters = _of_tensor(tensor, planned.sources, base.template)
        if of_adapters is None:
            return None
        if of_adapters:
            found[tensor.name] = of_adapters
    return found


def _of_tensor(tensor: TensorPlan, sources: Mapping[str, Checkpoint], base: Checkpoint) -> dict[str, float] | None:
    if tensor.quantize is not None or tensor.rotate is not None:
        return None
    step = tensor.steps[0]
    operands = step.sources if step.base is None else (step.base, *step.sources)
    weights = _weights(step) if len(tensor.steps) == 1 and step.dtype in _EXACT else None
    if weights is None or any(operand.tensor != tensor.name for operand in operands):
        return None
    if step.base is not None and not sources[step.base.checkpoint].shares(tensor.name, base):
        return None
    found: dict[str, float] = {}
    for operand, weight in zip(step.sources, weights, strict=True):
        source = sources[operand.checkpoint]
        if source.shares(tensor.name, base):
            continue
        if not isinstance(source, AdapterCheckpoint) or source.base is not base:
            return None
        found[operand.checkpoint] = found.get(operand.checkpoint, 0.0) + weight
    return found if all(map(math.isfinite, found.values())) else None


def _weights(step: MergeStep) -> list[float] | None:
    """What each source's difference from the base is multiplied with; None if the result is no such sum."""
    form = _form(step)
    if isinstance(form, WeightedSum):
        # of the base itself there must be one whole; a comparison that NaN fails
        return list(form.weights) if abs(sum(form.weights) + form.base_weight - 1) <= _ROUNDING else None
    if isinstance(form, TaskVectorSum) and not form.consensus and all(term.is_plain for term in form.terms):
        return [form.factor * term.weight * term.scale / form.divisor for term in form.terms]
    return None


def _form(step: MergeStep) -> Form | None:
    method: MergeMethod = registry.load("merge_methods", step.method)()
    if not isinstance(method, OnePassMethod) or method.reads_weights:
        return None
    return method.form(None, (), MergeParameters(step.per_source, step.shared, step.seed))
