"""Codes that stand for values in a table: to the nearest of them, and back, as fast as the memory allows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_CHUNK = 1 << 16  # numbers whose temporaries stay in a core's cache


def count_below(numbers: torch.Tensor, bounds: Sequence[float]) -> torch.Tensor:
    """How many of the bounds lie below each number: uint8. NaN has none.

    A number's place among a handful of bounds; `torch.bucketize`, which searches for it, takes several times as long.
    """
    flat = numbers.reshape(-1)
    counts = torch.zeros(flat.shape, dtype=torch.uint8, device=flat.device)
    above = torch.empty(min(_CHUNK, len(flat)), dtype=torch.bool, device=flat.device)
    for first in range(0, len(flat), _CHUNK):
        part, count = flat[first : first + _CHUNK], counts[first : first + _CHUNK]
        for bound in bounds:
            count += torch.gt(part, bound, out=above[: len(part)]).view(torch.uint8)
    return counts.view(numbers.shape)


def look_up(table: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """The table's entry for each code, in the codes' shape."""
    return table.to(codes.device).index_select(0, codes.reshape(-1).int()).view(codes.shape)
