"""The tensors of a plan, computed one after the other, for what looks at weights but keeps none."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..plan import Plan
from .compute import compute
from .disk import release
from .operands import Operands
from .tensor_store import TensorStore


def tensors_of(plan: Plan, store: TensorStore | None = None) -> Iterator[torch.Tensor]:
    """Every tensor of the planned model on the CPU, in the plan's order; a quantised one is what its codes stand for.

    Args:
        store: where quantised tensors are looked for, and kept.

    Raises:
        MaterialiseError: a tensor is not finite.
    """
    operands = Operands(plan.sources, store=store)
    for tensor in plan.tensors:
        yield compute(tensor, operands)
        release(plan, tensor)
