"""Searches for the scales of groups of weights: the least weighted squared error, by llama.cpp's trials.

Each trial stretches the range of codes a little, rounds, and fits scale (and minimum) to the codes by least squares.
Source: ggml-quants.c of llama.cpp (I. Kawrakow, 2023-2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

SCALE_STEPS = (0.0, *(0.1 * step for step in range(-9, 10) if step))
AFFINE_STEPS = tuple(-0.9 + 0.05 * step for step in range(37))
POSITIVE_STEPS = (0.0, *(0.1 * step for step in range(-4, 5) if step))
_CHUNK = 1 << 17  # weights: what a trial works on stays in a core's cache
_TINY = 1e-15
_SWEEPS = 5

_Search = Callable[..., tuple[torch.Tensor, ...]]


def scale_search(values: torch.Tensor, weights: torch.Tensor, top: int) -> torch.Tensor:
    """Scales for codes from -top to top - 1; they may be negative.

    Args:
        values: float32, shape (out, groups, size).
        weights: how much each one's error counts, of that shape.

    Returns:
        Shape (out, groups).
    """
    (scale,) = in_chunks(partial(_scale, top=top), values, weights)
    return scale


def affine_search(
    values: torch.Tensor, weights: torch.Tensor, top: int, steps: Sequence[float], absolute: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales and minima (0 or below) for codes from 0 to `top`. Shapes as for `scale_search`.

    Args:
        steps: by how much the trials stretch the range of codes.
        absolute: whether trials are compared by absolute instead of squared errors.
    """
    scale, minimum = in_chunks(partial(_affine, top=top, steps=steps, absolute=absolute), values, weights)
    return scale, minimum


def positive_search(values: torch.Tensor, weights: torch.Tensor, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One scale for each row of values that are not negative, and their codes from 0 to `top`.

    Args:
        values, weights: float32, shape (rows, size).

    Returns:
        Scales, shape (rows,), and codes, float32, shape (rows, size).
    """
    x, w = values.T.contiguous(), weights.T.contiguous()
    most = x.amax(0)
    best = torch.full_like(most, torch.inf)
    inverse = torch.zeros_like(most)
    for step in POSITIVE_STEPS:
        trial = (top + step) / most.clamp_min(_TINY)
        error = (x - (x * trial).round_().clamp_(max=top) / trial).square_().mul_(w).sum(0)
        better = error < best
        best, inverse = torch.where(better, error, best), torch.where(better, trial, inverse)
    codes = (x * inverse).round_().clamp_(max=top)
    scale = _improved(x, w, codes, 0, top)
    alive = most >= _TINY
    return torch.where(alive, scale, 0), torch.where(alive, codes, 0).T


def largest(values: torch.Tensor, dim: int) -> torch.Tensor:
    """The values farthest from zero; the positive one of two."""
    low, high = values.amin(dim), values.amax(dim)
    return torch.where(high >= -low, high, low)


def in_chunks(search: _Search, values: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What a search finds for every group, shape (out, groups), from tensors that begin with these two dimensions.

    The search sees groups side by side, shape (size, groups): sums over a group then add long rows, not short ones.
    """
    rows, groups, size = values.shape
    count = max(1, _CHUNK // (groups * size))
    found = []
    for start in range(0, rows, count):
        chunk = (part[start : start + count].flatten(0, 1).movedim(0, -1).contiguous() for part in (values, *others))
        found.append(search(*chunk))
    return tuple(torch.cat(parts).view(rows, groups) for parts in zip(*found, strict=True))


def _scale(x: torch.Tensor, w: torch.Tensor, top: int) -> tuple[torch.Tensor]:
    most = largest(x, 0)
    weighted = w * x
    safe = torch.where(most.abs() < _TINY, 1, most)
    scale, best = most / -top, torch.zeros_like(most)
    for step in SCALE_STEPS:
        codes = (x * (-(top + step) / safe)).round_().clamp_(-top, top - 1)
        both = (weighted * codes).sum(0)
        square = codes.square_().mul_(w).sum(0)
        better = (square > 0) & (both * both > best * square)
        fitted = both / square
        scale, best = torch.where(better, fitted, scale), torch.where(better, fitted * both, best)
    return (torch.where(most.abs() < _TINY, 0, scale),)


def _affine(
    x: torch.Tensor, w: torch.Tensor, top: int, steps: Sequence[float], absolute: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    minimum, high = x.amin(0).clamp_max_(0), x.amax(0)
    scale = (high - minimum) / top
    weighted = w * x
    total, total_x = w.sum(0), weighted.sum(0)
    best = _error(x, w, _codes(x, minimum, high, top, 0), scale, minimum, absolute)
    for step in steps:
        codes = _codes(x, minimum, high, top, step)  # from the best minimum so far
        sum_x = (weighted * codes).sum(0)
        product = w * codes
        sum_1 = product.sum(0)
        sum_2 = product.mul_(codes).sum(0)
        determinant = total * sum_2 - sum_1 * sum_1
        slope = (total * sum_x - total_x * sum_1) / determinant
        intercept = (sum_2 * total_x - sum_1 * sum_x) / determinant
        slope = torch.where(intercept > 0, sum_x / sum_2, slope)
        intercept = intercept.clamp_max_(0)
        error = _error(x, w, codes, slope, intercept, absolute)
        better = (determinant > 0) & (error < best)
        best = torch.where(better, error, best)
        scale, minimum = torch.where(better, slope, scale), torch.where(better, intercept, minimum)
    return scale, minimum


def _codes(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, top: int, step: float) -> torch.Tensor:
    span = high - low
    return (x - low).mul_((top + step) / torch.where(span > 0, span, 1)).round_().clamp_(0, top)


def _error(
    x: torch.Tensor, w: torch.Tensor, codes: torch.Tensor, scale: torch.Tensor, minimum: torch.Tensor, absolute: bool
) -> torch.Tensor:
    """Overwrites the codes."""
    difference = codes.mul_(scale).add_(minimum).sub_(x)
    return (difference.abs_() if absolute else difference.square_()).mul_(w).sum(0)


def _improved(x: torch.Tensor, w: torch.Tensor, codes: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Moves one code after the other to where it is best given the others, in place; the scales that then fit."""
    both, square = (w * x * codes).sum(0), (w * codes * codes).sum(0)
    for _ in range(_SWEEPS):
        before = codes.clone()
        for value, weight, code in zip(x, w, codes, strict=True):
            others = both - weight * value * code
            others_square = square - weight * code * code
            moved = (value * others_square / others).round_().clamp_(low, high)
            new, new_square = others + weight * value * moved, others_square + weight * moved * moved
            better = (others > 0) & (new_square > 0) & (new * new * square > both * both * new_square)
            code.copy_(torch.where(better, moved, code))
            both, square = torch.where(better, new, both), torch.where(better, new_square, square)
        if torch.equal(before, codes):
            break
    return torch.where(square > 0, both / square, 0)
