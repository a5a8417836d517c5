"""The meta executor: what a plan costs, from shapes alone."""

from __future__ import annotations

from ..costs import Costs
from ..level_genes import cache_bytes
from ..plan import Plan
from ..quantization.budget import DEFAULT_CONTEXT
from ..quantization.groups import group_of
from ..quantization.target import NO_TARGET, stored_bytes, target_of


def costs(plan: Plan) -> Costs:
    """Bytes, parameters, bits per weight and memory of the planned model."""
    linear = [
        tensor
        for tensor in plan.tensors
        if len(tensor.info.shape) == 2 and (group := group_of(tensor.name)) is not None and group.layer is not None
    ]
    weights = sum(tensor.info.elements for tensor in linear)
    stored = sum(stored_bytes(tensor.info, tensor.level) for tensor in linear)
    target = target_of(plan.recipe.quantize.target if plan.recipe.quantize else NO_TARGET)
    size = target.nbytes(plan)
    return Costs(
        bytes=size,
        parameters=sum(tensor.info.elements for tensor in plan.tensors),
        bits=8 * stored / weights if weights else 0.0,
        memory=size + cache_bytes(plan.config, DEFAULT_CONTEXT),
    )
