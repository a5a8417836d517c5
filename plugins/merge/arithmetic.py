"""What the task-vector methods share: weighted sums of changes, sign consensus, and adding the result to the base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from ...core.contracts import MergeParameters, ParameterSpec

WEIGHT = ParameterSpec("weight", "source", search=(0.0, 1.5))
DENSITY = ParameterSpec("density", "source", default=1.0, search=(0.1, 1.0), low=0.0, high=1.0)
LAMBDA = ParameterSpec("lambda", "shared", default=1.0)

_SMALLEST_DIVISOR = 1e-8


def accumulator(like: torch.Tensor) -> torch.Tensor:
    """Zeros to sum into: float64 for float64, else float32, whatever is summed."""
    return torch.zeros_like(like, dtype=torch.float64 if like.dtype == torch.float64 else torch.float32)


def weighted_sum(base: torch.Tensor, changes: Iterable[torch.Tensor], parameters: MergeParameters) -> torch.Tensor:
    """base + lambda * sum_i w_i change_i, the sum divided by sum_i w_i if `normalize` (unless that is about zero).

    Args:
        changes: one for each source; they are used up (worked on in place).
    """
    weights = _weights(parameters, base)
    mixed = _sum(_weighted(changes, weights), base)
    if parameters.shared["normalize"]:
        divisor = weights.sum()
        mixed.div_(divisor if divisor.abs() >= _SMALLEST_DIVISOR else 1)
    return _added(base, mixed, parameters)


def consensus_sum(base: torch.Tensor, changes: Iterable[torch.Tensor], parameters: MergeParameters) -> torch.Tensor:
    """As `weighted_sum`, but an element counts only where its sign is the elected one (Yadav et al., 2023, step 2-3).

    The elected sign of an element is that of sum_i w_i change_i, positive where the sum is zero. With `normalize` each
    element is divided by the weights of the sources that count there.
    """
    weights = _weights(parameters, base)
    weighted = list(_weighted(changes, weights))
    positive = _sum(weighted, base) >= 0
    divisor = accumulator(base)
    for change, weight in zip(weighted, weights, strict=True):
        agrees = torch.where(positive, change > 0, change < 0)
        change.mul_(agrees)
        if parameters.shared["normalize"]:
            divisor.add_(agrees * weight)
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


def _weights(parameters: MergeParameters, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(parameters.per_source["weight"], dtype=like.dtype, device=like.device)
