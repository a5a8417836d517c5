"""The meta executor: what a plan costs, from shapes alone."""

from __future__ import annotations

from ..costs import Costs
from ..plan import Plan


def costs(plan: Plan) -> Costs:
    """Bytes and number of parameters of the planned model's tensors."""
    return Costs(
        bytes=sum(tensor.info.nbytes for tensor in plan.tensors),
        parameters=sum(tensor.info.elements for tensor in plan.tensors),
    )
