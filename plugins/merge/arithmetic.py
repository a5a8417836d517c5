"""What the task-vector methods share: weighted sums of changes, sign consensus, and adding the result to the base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch

from ...core.contracts import MergeParameters, ParameterSpec

WEIGHT = ParameterSpec("weight", "source", search=(0.0, 1.5))
DENSITY = ParameterSpec("density", "source", default=1.0, search=(0.1, 1.0), low=0.0, high=1.0)
LAMBDA = ParameterSpec("lambda", "shared", default=1.0)

_SMALLEST_DIVISOR = 1e-8
_BLOCK = 1 << 18


def accumulator(like: torch.Tensor) -> torch.Tensor:
    """Zeros to sum into: float64 for float64, else float32, whatever is summed."""
    return torch.zeros_like(like, dtype=_wide(like))


def weighted_sum(base: torch.Tensor, changes: Iterable[torch.Tensor], parameters: MergeParameters) -> torch.Tensor:
    """base + lambda * sum_i w_i change_i, the sum divided by sum_i w_i if `normalize` (unless that is about zero).

    Args:
        changes: one for each source; they are used up (worked on in place).
    """
    weights = _weights(parameters, base)
    weighted = _weighted(changes, weights)
    total = next(weighted).to(_wide(base))
    for change in weighted:
        total.add_(change)
    mixed = total.to(base.dtype)
    if parameters.shared["normalize"]:
        divisor = weights.sum()
        mixed.div_(divisor if divisor.abs() >= _SMALLEST_DIVISOR else 1)
    return _added(base, mixed, parameters)


def consensus_sum(base: torch.Tensor, changes: Sequence[torch.Tensor], parameters: MergeParameters) -> torch.Tensor:
    """As `weighted_sum`, but an element counts only where its sign is the elected one (Yadav et al., 2023, step 2-3).

    The elected sign of an element is that of sum_i w_i change_i, positive where the sum is zero. With `normalize` each
    element is divided by the weights of the sources that count there.
    """
    result = torch.empty_like(base, memory_format=torch.contiguous_format)
    for start in range(0, base.numel(), _BLOCK):  # blocks whose intermediate results stay in the cache
        block = slice(start, start + _BLOCK)
        parts = [change.reshape(-1)[block] for change in changes]
        result.view(-1)[block] = _consensus(base.reshape(-1)[block], parts, parameters)
    return result


def _consensus(base: torch.Tensor, changes: Sequence[torch.Tensor], parameters: MergeParameters) -> torch.Tensor:
    weights = _weights(parameters, base)
    weighted = list(_weighted(changes, weights))
    positive = _sum(weighted, base) >= 0
    divisor = accumulator(base)
    for change, weight in zip(weighted, weights, strict=True):
        agrees = torch.where(positive, change > 0, change < 0).to(base.dtype)
        change.mul_(agrees)
        if parameters.shared["normalize"]:
            divisor.add_(agrees.mul_(weight))
    mixed = _sum(weighted, base)
    if parameters.shared["normalize"]:
        divisor = divisor.to(base.dtype)
        mixed.div_(divisor.masked_fill_(divisor == 0, 1))
    return _added(base, mixed, parameters)


def _weighted(changes: Iterable[torch.Tensor], weights: torch.Tensor) -> Iterator[torch.Tensor]:
    return (change.mul_(weight) for change, weight in zip(changes, weights, strict=True))


def _sum(tensors: Iterable[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    total = accumulator(like)
    for tensor in tensors:
        total.add_(tensor)
    return total.to(like.dtype)


def _added(base: torch.Tensor, mixed: torch.Tensor, parameters: MergeParameters) -> torch.Tensor:
    factor = parameters.shared["lambda"]
    return (mixed if factor == 1 else mixed.mul_(factor)).add_(base)


def _wide(like: torch.Tensor) -> torch.dtype:
    return torch.float64 if like.dtype == torch.float64 else torch.float32


def _weights(parameters: MergeParameters, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(parameters.per_source["weight"], dtype=like.dtype, device=like.device)
