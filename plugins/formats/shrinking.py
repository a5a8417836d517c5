"""The clip range with the least squared error: factors on a group's extremes, coarse ones first, then finer ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

COARSE = tuple(factor / 100 for factor in range(95, 20, -5))
FINE = (-0.03, -0.02, -0.01, 0.01, 0.02, 0.03)
_CHUNK = 1 << 18  # weights whose temporaries stay in a core's cache


def least_shrunk(loss: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    """The factor of each group, from 0.22 to 1, with which `loss` is least among those tried.

    Min-max's own factor, 1, is tried first and kept unless another is better. llm-compressor's and GPTQ's searches are
    of this kind, with other steps (down to 0.8 and 0.2) and the error to the power 2.4.

    Args:
        loss: of factors of the shape of `like`, in that shape.
        like: a number for each group.
    """
    best = torch.ones_like(like)
    least = loss(best)
    for steps, center in ((COARSE, None), (FINE, 1.0)):
        start = torch.zeros_like(best) if center is None else best.clone()
        for step in steps:
            tried = (start + step).clamp_(max=1.0)
            found = loss(tried)
            better = found < least
            best = torch.where(better, tried, best)
            least = torch.where(better, found, least)
    return best


def chunks(groups: torch.Tensor) -> Iterator[slice]:
    """Runs of rows of a matrix in groups, few enough to be quick to go over again and again."""
    rows = max(1, _CHUNK // (groups.shape[1] * groups.shape[2]))
    for first in range(0, groups.shape[0], rows):
        yield slice(first, first + rows)


def relative(importance: torch.Tensor | None, columns: int, device: torch.device) -> torch.Tensor:
    """Importance with a mean of 1 and no zeros (a group of dead inputs still wants scales), shape (in,)."""
    if importance is None:
        return torch.ones(columns, device=device)
    mean = importance.float().mean()
    if mean <= 0:
        return torch.ones(columns, device=device)
    return (importance.float() / mean).clamp_(min=1e-6)
