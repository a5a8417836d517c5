"""The grid of an integer format: scale * (code - zero)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import Grid
from .groups import aligned


class IntegerGrid(Grid):
    """Evenly spaced values.

    Codes are what compressed-tensors' `quantize` gives in float32 with these scales: round(w / scale + zero), half to
    even, clamped. In the dtype of a bfloat16 model its quotient loses digits and it often takes a neighbour of the
    nearest value; that is not copied.

    Attributes:
        group: as in `groups`.
        low, high: the smallest and the largest code.
        parts: `scale`, and `zero` where the format has zero points: see `IntegerFormat`.
    """

    def __init__(self, parts: dict[str, torch.Tensor], group: int, low: int, high: int, middle: float = 0.0):
        """`middle` is the zero point of formats that store none."""
        self.parts = parts
        self.group, self.low, self.high, self.middle = group, low, high, middle
        self._wide = [part.float() for part in parts.values()]

    def spacing(self, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Scales and zero points, float32, shape (groups of a row, rows)."""
        scale, *zeros = (part.T if part.dim() == 2 else part.expand(1, rows) for part in self._wide)
        zero = zeros[0] if zeros else torch.full_like(scale, self.middle)
        return scale.contiguous(), zero.contiguous()

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`."""
        seen, (scale, *zeros) = aligned(values, self._wide, self.group, first)
        ratio = seen / scale
        if zeros:
            ratio += zeros[0]
        elif self.middle:
            ratio += self.middle
        return ratio.clamp_(self.low, self.high).round_().to(torch.int8).reshape(values.shape)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`."""
        return spread(codes, self._wide, self.group, self.middle, first)


def spread(
    codes: torch.Tensor, parts: Sequence[torch.Tensor], group: int, middle: float = 0.0, first: int = 0
) -> torch.Tensor:
    """(code - zero) * scale, in the dtype of the scale, step by step as compressed-tensors' `dequantize` does it.

    Args:
        codes: of columns from `first` on.
        parts: scales and, if there are any, zero points (else it is `middle`).
    """
    seen, (scale, *zeros) = aligned(codes, parts, group, first)
    wide = seen.to(scale.dtype, copy=True)
    if zeros:
        wide -= zeros[0].to(scale.dtype)
    elif middle:
        wide -= middle
    return wide.mul_(scale).reshape(codes.shape)
