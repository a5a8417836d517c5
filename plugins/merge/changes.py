"""Task vectors block by block, for methods that look at all sources together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

_BLOCK = 1 << 18


def changes(base: torch.Tensor, sources: Sequence[torch.Tensor]) -> Iterator[tuple[slice, torch.Tensor]]:
    """Parts of the flattened tensors, and all task vectors there: shape (sources, elements), in float32 at least."""
    work = torch.promote_types(base.dtype, torch.float32)
    origin, flat = base.reshape(-1), [source.reshape(-1) for source in sources]
    for start in range(0, origin.numel(), _BLOCK):
        part = slice(start, start + _BLOCK)
        yield part, torch.stack([source[part].to(work) for source in flat]) - origin[part].to(work)


def add_changes(base: torch.Tensor, merged: Iterator[tuple[slice, torch.Tensor]]) -> torch.Tensor:
    """A new tensor like the base, with merged task vectors (shape (elements,)) added to its parts."""
    result = base.clone(memory_format=torch.contiguous_format)
    flat = result.view(-1)
    for part, change in merged:
        flat[part] = change + flat[part]
    return result
