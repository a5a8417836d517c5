"""Quantised tensors that need not be computed again: looked for before the others are, and kept afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from ..contracts import Quantizer
from ..plan import TensorPlan
from .operands import Operands
from .quantize import quantize_into
from .threads import in_threads


def read_stored(
    planned: Sequence[tuple[TensorPlan, torch.Tensor]], operands: Operands, done: Callable[[TensorPlan], None]
) -> list[tuple[TensorPlan, torch.Tensor]]:
    """Fills the targets of the tensors that are in the operands' store, and returns the other tensors, in order.

    Args:
        done: called with each tensor that was there, perhaps from another thread.
    """
    store = operands.store
    if store is None:
        return list(planned)
    found: set[int] = set()

    def look(place: int) -> None:
        tensor, target = planned[place]
        if store.read(store.key(tensor, operands.sources, target.device), target):
            found.add(place)
            done(tensor)

    in_threads(look, [place for place, (tensor, _) in enumerate(planned) if _is_kept(tensor)])
    return [one for place, one in enumerate(planned) if place not in found]


def quantize_and_keep(tensor: TensorPlan, target: torch.Tensor, operands: Operands) -> None:
    """Quantises a merged tensor in its place, if the plan says so, and lets the store keep what took long."""
    store, started = operands.store, time.perf_counter()
    quantize_into(tensor, target, operands)
    if store is None or not _is_kept(tensor):
        return
    if target.device.type != "cpu":
        torch.cuda.synchronize(target.device)
    store.keep(store.key(tensor, operands.sources, target.device), target, time.perf_counter() - started)


def _is_kept(tensor: TensorPlan) -> bool:
    """Whether its values are all there is to know: not where the layer also computes otherwise."""
    return tensor.level is not None and type(tensor.level.plugin).arithmetic is Quantizer.arithmetic
