"""Scales of blocks, runs of weights in a row: from the largest of them, or those of several with the least error."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import torch

from ...core.contracts import Format
from ...core.errors import ConfigurationError, did_you_mean
from .groups import grouped


def check_fit(format: Format, weight: torch.Tensor, search: str, known: Collection[str]) -> None:  # noqa: A002
    """Raises ConfigurationError if the matrix cannot be stored so, or the search for scales is none of those known."""
    misfit = format.misfit(tuple(weight.shape))
    if misfit is not None:
        raise ConfigurationError(f"a matrix of shape {list(weight.shape)} cannot be {format.label}: {misfit}")
    if search not in known:
        raise ConfigurationError(f"{format.label} has no search {search!r}. {did_you_mean(search, known)}")


def largest_of_blocks(weight: torch.Tensor, block: int) -> torch.Tensor:
    """Largest magnitude of each block: shape (out, in / block) for a weight of shape (out, in)."""
    return grouped(weight, block).abs().amax(2)


def least_error(
    weight: torch.Tensor,
    importance: torch.Tensor | None,
    block: int,
    candidates: Iterable[torch.Tensor],
    nearest: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """For each block the candidate scale with the least squared error, weighted by importance; the first of equals.

    Args:
        weight: float32, shape (out, in).
        importance: shape (in,), or None: every column counts the same.
        candidates: scales of every block, shape (out, in / block), a tensor for each attempt.
        nearest: the weight, rounded to the grid that has the scales it is given.
    """
    best: torch.Tensor | None = None
    least = torch.empty(0)
    for scales in candidates:
        errors = (nearest(scales) - weight).square_()
        if importance is not None:
            errors *= importance
        error = grouped(errors, block).sum(2)
        if best is None:
            best, least = scales.clone(), error
        else:
            better = error < least
            best = torch.where(better, scales, best)
            least = torch.where(better, error, least)
    assert best is not None
    return best
