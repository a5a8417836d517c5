"""Scales and zero points of integer formats with a small weighted squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

Zeros = Literal["fixed", "whole", "real"]


@dataclass(frozen=True)
class Uniform:
    """Groups of weights, and the evenly spaced grids that they may have.

    Scales and zero points are float32 of shape (rows, groups) here, always holding numbers that can be stored.

    Attributes:
        weight: float32, shape (rows, groups, size).
        importance: positive, broadcasts against it.
        width: bits of a code.
        zeros: whether zero points are fixed, whole numbers within the codes' range, or real.
        dtype: of stored scales.
    """

    weight: torch.Tensor
    importance: torch.Tensor
    width: int
    zeros: Zeros
    dtype: torch.dtype

    @property
    def low(self) -> int:
        """The smallest code."""
        return -(1 << (self.width - 1))

    @property
    def high(self) -> int:
        """The largest code."""
        return (1 << (self.width - 1)) - 1

    def storable(self, scale: torch.Tensor, zero: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both rounded to what is stored."""
        if self.zeros == "whole":
            zero = zero.round().clamp(self.low, self.high)
        elif self.zeros == "real":
            zero = zero.half().float()
        return scale.to(self.dtype).float(), zero

    def position(self, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        """Where on the line of codes the weights lie."""
        return (self.weight / scale[..., None]).add_(zero[..., None])

    def nearest(self, position: torch.Tensor) -> torch.Tensor:
        """The code of each, as a float."""
        return position.clamp(self.low, self.high).round_()

    def loss(self, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        """Sum of importance * (w - its value)^2 in each group."""
        position = self.position(scale, zero)
        error = self.nearest(position).sub_(position).square_().mul_(self.importance)
        return error.sum(-1) * scale.square()

    def refit(self, scale: torch.Tensor, zero: torch.Tensor, rounds: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
        """Least squares with the codes held, then new codes, and so on: never worse than what it was given."""
        least = self.loss(scale, zero)
        for _ in range(rounds):
            tried = self.storable(*self._least_squares(self.nearest(self.position(scale, zero)), zero))
            found = self.loss(tried[0].clamp(min=torch.finfo(torch.float32).tiny), tried[1])
            better = (found < least) & (tried[0] > 0)
            scale = torch.where(better, tried[0], scale)
            zero = torch.where(better, tried[1], zero)
            least = torch.where(better, found, least)
        return scale, zero

    def _least_squares(self, codes: torch.Tensor, zero: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        importance = self.importance
        if self.zeros != "real":
            steps = codes - zero[..., None]
            return _over((steps * self.weight * importance).sum(-1), (steps.square() * importance).sum(-1)), zero
        total = importance.expand_as(self.weight).sum(-1)
        center = (codes * importance).sum(-1) / total
        middle = (self.weight * importance).sum(-1) / total
        steps = codes - center[..., None]
        scale = _over((steps * self.weight * importance).sum(-1), (steps.square() * importance).sum(-1))
        return scale, (center - _over(middle, scale)).clamp(-4096, 4096)


def _over(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    return torch.where(whole > 0, part / whole, 0.0)
