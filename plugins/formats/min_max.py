"""Scales and zero points from the extremes of a group, to the bit as compressed-tensors' `calculate_qparams`."""

from __future__ import annotations

import torch


def symmetric_scale(low: torch.Tensor, high: torch.Tensor, width: int) -> torch.Tensor:
    """The scale at which the codes' range spans twice the largest magnitude; in the dtype of the extremes.

    Args:
        low, high: the smallest and largest weight of each group.
        width: bits of a code.
    """
    magnitude = torch.maximum(low.clamp(max=0).abs(), high.clamp(min=0))
    if width == 1:  # which has no code for zero, so that a group of zeros wants the smallest step
        return (magnitude * 2).clamp(min=torch.finfo(magnitude.dtype).tiny)
    return nonzero(magnitude / ((2**width - 1) / 2))


def integer_zero(low: torch.Tensor, high: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and whole zero point (int8) with which 0 is a value of the grid; arguments as for `symmetric_scale`."""
    low, high = low.clamp(max=0), high.clamp(min=0)
    smallest, largest = -(2 ** (width - 1)), 2 ** (width - 1) - 1
    scale = (high - low) / (2**width - 1)
    zero = (smallest - low / scale).clamp(smallest, largest)
    return nonzero(scale), zero.nan_to_num(0.0).round().to(torch.int8)


def real_zero(low: torch.Tensor, high: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and real zero point with which the lowest and the highest code are the extremes.

    A group whose weights differ little from one another has at least the step of a thousandth of its magnitude, so that
    its zero point stays a small number.
    """
    least = torch.maximum(low.abs(), high.abs()) / 1024
    scale = nonzero(torch.maximum((high - low) / (2**width - 1), least))
    return scale, -(2 ** (width - 1)) - low / scale


def nonzero(scale: torch.Tensor) -> torch.Tensor:
    """Scales fit to divide by: a zero (a group of zeros) becomes the dtype's epsilon, as compressed-tensors has it."""
    return scale.masked_fill(scale == 0, torch.finfo(scale.dtype).eps)
