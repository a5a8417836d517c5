"""The grid of an SpQR format, and numbers (its scales, its zeros) that are kept in 3 bits each."""

from __future__ import annotations

import torch

from ...core.contracts import Grid
from .groups import aligned

WIDTH = 3
"""Bits of a scale and of a zero."""
ROWS = 16
"""How many rows share the steps that these are in."""


class SpqrGrid(Grid):
    """scale * (code - zero), codes from 0 to `highest`, 2^width - 1; zeros need not be whole."""

    def __init__(self, parts: dict[str, torch.Tensor], group: int, width: int) -> None:
        self.parts = parts
        self.group, self.highest = group, 2**width - 1
        self._numbers = [self.number(name, parts) for name in ("scale", "zero")]

    def spacing(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scales and zeros, float32, shape (groups of a row, out)."""
        scale, zero = (number.T.contiguous() for number in self._numbers)
        return scale, zero

    @staticmethod
    def number(name: str, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        """What `second_level` kept, float32, shape (out, groups)."""
        codes = parts[f"{name}_codes"]
        step, low = (
            parts[f"{name}_{which}"].float().repeat_interleave(ROWS, dim=0)[: len(codes)] for which in ("step", "low")
        )
        return low + step * codes

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`."""
        seen, (scale, zero) = aligned(values, self._numbers, self.group, first)
        return (seen / scale).add_(zero).round_().clamp_(0, self.highest).to(torch.uint8).reshape(values.shape)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`."""
        seen, (scale, zero) = aligned(codes, self._numbers, self.group, first)
        return ((seen - zero) * scale).reshape(codes.shape)


def second_level(name: str, numbers: torch.Tensor, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Numbers of groups, shape (out, groups), positive or 0, as the parts that keep them."""
    padded = torch.cat([numbers, numbers[-1:].expand(-len(numbers) % ROWS, -1)])
    low, high = padded.reshape(-1, ROWS, numbers.shape[1]).aminmax(dim=1)
    low, step = low.to(dtype), ((high - low) / (2**WIDTH - 1)).to(dtype)
    wide = [part.float().repeat_interleave(ROWS, dim=0)[: len(numbers)] for part in (low, step)]
    codes = ((numbers - wide[0]) / torch.where(wide[1] > 0, wide[1], 1)).round_().clamp_(0, 2**WIDTH - 1)
    return {f"{name}_codes": codes.to(torch.uint8), f"{name}_step": step, f"{name}_low": low}
