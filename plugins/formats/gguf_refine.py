"""The last step of a K-quant's search: codes of scales and minima, once the steps they are multiples of are stored.

Rounding a scale to its code moves every value of its group by up to (largest code * step of the scales / 2), which is
much where a scale has 4 to 6 bits. So scales a few codes away are tried too, with the codes of weights and the minimum
that are best for each: with x' = s q - m + r for weights x' at code q, the minimum that is best given q is
m + sum(w r) / sum(w), and one that is d larger leaves the error sum(w r^2) - 2 d sum(w r) + d^2 sum(w).
"""

from __future__ import annotations

from functools import partial

import torch

from .gguf_search import in_chunks

_MOVES = (0, -1, 1, -2, 2)


def refined(
    values: torch.Tensor,
    weights: torch.Tensor,
    steps: tuple[torch.Tensor, torch.Tensor],
    codes: tuple[torch.Tensor, torch.Tensor],
    range_of_values: tuple[int, int],
    range_of_codes: tuple[int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of scales and minima near the given ones: those of the least weighted squared error.

    Args:
        values: float32, shape (out, groups, size).
        weights: how much each one's error counts, of that shape.
        steps: of scales and minima as they are stored, shape (out, superblocks); 0 for minima that a format lacks.
        codes: of scales and minima, float32, shape (out, groups).
        range_of_values: smallest and largest code of a value.
        range_of_codes: those of a scale and of a minimum.

    Returns:
        Codes of scales and minima, float32, shape (out, groups).
    """
    search = partial(_refined, range_of_values=range_of_values, range_of_codes=range_of_codes)
    of_groups = (step.float().repeat_interleave(codes[0].shape[1] // step.shape[1], 1) for step in steps)
    scales, minima = in_chunks(search, values, weights, *of_groups, *codes)
    return scales, minima


def _refined(
    x: torch.Tensor,
    w: torch.Tensor,
    step: torch.Tensor,
    step_of_minima: torch.Tensor,
    scales: torch.Tensor,
    minima: torch.Tensor,
    range_of_values: tuple[int, int],
    range_of_codes: tuple[int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    above = x + step_of_minima * minima
    total = w.sum(0)
    per_code = total * step_of_minima
    inverse = torch.where(per_code > 0, 1 / per_code, 0)
    best, found = torch.full_like(total, torch.inf), (scales, minima)
    for move in _MOVES:
        scale = (scales + move).clamp_(*range_of_codes)
        size = step * scale
        rest = (above * torch.where(size == 0, 0, 1 / size)).round_().clamp_(*range_of_values).mul_(size).sub_(above)
        weighted = w * rest
        first, second = weighted.sum(0), weighted.mul_(rest).sum(0)
        minimum = (minima + (first * inverse).round_()).clamp_(*range_of_codes)
        shift = (minimum - minima).mul_(step_of_minima)
        error = second - 2 * shift * first + shift * shift * total
        better = error < best
        best = torch.where(better, error, best)
        found = torch.where(better, scale, found[0]), torch.where(better, minimum, found[1])
    return found
