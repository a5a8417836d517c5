"""How long a merge will take here and how much memory it keeps: measured on a few tensors, and scaled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from . import registry
from .checkpoints import Checkpoint
from .errors import MaterialiseError
from .executors.compute import compute_all
from .executors.operands import Operands
from .layout import layer_count, place_of
from .plan import Plan, TensorPlan

_SAMPLE_ELEMENTS = 1 << 23
_COPIED_BYTES = 1 << 26


@dataclass(frozen=True)
class MergeNeeds:
    """What one merge method needs for the largest model that the study builds with it.

    Attributes:
        seconds: to make the resident model another candidate that differs in every tensor; `first_seconds` for the
            first one, when sources are read and the method prepares. Both are measured on a few tensors and scaled;
            None if what was tried cannot be merged.
        prepared: bytes that the method keeps of the sources.
        moved: bytes of the tensors that are read and written for a candidate.
    """

    seconds: float | None
    first_seconds: float | None
    prepared: int
    moved: int


def copy_bandwidth(device: torch.device | str = "cpu") -> float:
    """Bytes per second that are read and written when a tensor is copied, at best of a few tries."""
    source = torch.zeros(_COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    seconds = min(_seconds(lambda: target.copy_(source), source.device) for _ in range(4))
    return 2 * _COPIED_BYTES / seconds


def merge_needs(planned: Plan, device: torch.device | str = "cpu") -> MergeNeeds:
    """Merges the tensors of one layer (some, if they are large) a few times."""
    moved = {tensor.name: _moved(tensor, planned.sources) for tensor in planned.tensors}
    sample = _sample(planned.tensors)
    targets = [(t, torch.empty(t.info.shape, dtype=t.info.dtype, device=device)) for t in sample]
    share = sum(moved[tensor.name] for tensor in sample) / max(sum(moved.values()), 1)
    try:
        compute_all(targets, Operands(planned.sources, device=device))  # kernels are compiled once
    except MaterialiseError:  # of some candidates only, perhaps: no reason to refuse the study
        return MergeNeeds(None, None, 0, sum(moved.values()))
    operands = Operands(planned.sources, keep=True, device=device)
    first = _seconds(lambda: compute_all(targets, operands), targets[0][1].device)
    again = min(_seconds(lambda: compute_all(targets, operands), targets[0][1].device) for _ in range(5))
    kept = sum(
        _nbytes(operands.prepared(registry.load("merge_methods", step.method)(), step))
        for tensor in sample
        for step in tensor.steps
    )
    return MergeNeeds(again / share, max(first, again) / share, round(kept / share), sum(moved.values()))


def _sample(tensors: Iterable[TensorPlan]) -> list[TensorPlan]:
    """The tensors of a layer in the middle, the largest left out if they are too many; at least one matrix."""
    everything = list(tensors)
    middle = layer_count(tensor.name for tensor in everything) // 2
    found = [tensor for tensor in everything if place_of(tensor.name).layer == middle] or everything
    found.sort(key=lambda tensor: tensor.info.elements)
    sample: list[TensorPlan] = []
    for tensor in found:
        whole = sum(chosen.info.elements for chosen in sample) + tensor.info.elements
        if whole > _SAMPLE_ELEMENTS and any(len(chosen.info.shape) > 1 for chosen in sample):
            break
        sample.append(tensor)
    return sample


def _moved(tensor: TensorPlan, sources: Mapping[str, Checkpoint]) -> int:
    operands = {one for step in tensor.steps for one in (step.base, *step.sources) if one is not None}
    stored = (sources[operand.checkpoint].stored_dtype(operand.tensor) for operand in operands)
    return tensor.info.nbytes + tensor.info.elements * sum(dtype.itemsize for dtype in stored)


def _nbytes(prepared: Any) -> int:
    """Bytes of the tensors and arrays in what a method prepared."""
    if isinstance(prepared, torch.Tensor | np.ndarray):
        return int(prepared.nbytes)
    if isinstance(prepared, Mapping):
        return _nbytes(list(prepared.values()))
    if isinstance(prepared, list | tuple):
        return sum(_nbytes(part) for part in prepared)
    return _nbytes(list(vars(prepared).values())) if hasattr(prepared, "__dict__") else 0


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
