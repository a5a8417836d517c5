"""The values that a matrix may take in a GGUF block type, its scales chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ...core.contracts import Grid

if TYPE_CHECKING:
    from .gguf_format import GgufFormat


class GgufGrid(Grid):
    """Evenly spaced values in every group of a row.

    Args:
        parts: see `GgufFormat.steps`.
        inverse: what values are multiplied by to round them, float32, shape (out, in / group); None: one over the step.
        origin: what is taken from them before, likewise; None: the offset.

    GGML rounds with steps and offsets that are not yet rounded to what is stored: therefore these two.
    """

    def __init__(
        self,
        format: GgufFormat,  # noqa: A002
        parts: dict[str, torch.Tensor],
        inverse: torch.Tensor | None = None,
        origin: torch.Tensor | None = None,
    ) -> None:
        self.parts = parts
        self._format = format
        self._step, self._offset = format.steps(parts)
        self._inverse = reciprocal(self._step) if inverse is None else inverse
        self._origin = self._offset if origin is None else origin

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`."""
        inverse = self._columns(self._inverse, first, values.shape[1])
        if self._origin is None:
            scaled = values * inverse
        else:
            scaled = (values - self._columns(self._origin, first, values.shape[1])).mul_(inverse)
        codes = self._format.nearest(scaled).to(torch.int8)  # many times faster than to uint8
        return codes if self._format.codes > 128 else codes.view(torch.uint8)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`."""
        offset = None if self._offset is None else self._columns(self._offset, first, codes.shape[1])
        return self._format.valued(codes, self._columns(self._step, first, codes.shape[1]), offset)

    def _columns(self, of_groups: torch.Tensor, first: int, count: int) -> torch.Tensor:
        """For each of these columns its group's number; one column where all are of one group."""
        group = self._format.group
        start, end = first // group, (first + count - 1) // group
        if start == end:
            return of_groups[:, start : start + 1]
        part = of_groups[:, start : end + 1].repeat_interleave(group, dim=1)
        return part[:, first - start * group :][:, :count]


def reciprocal(step: torch.Tensor) -> torch.Tensor:
    """One over each step, 0 where it is 0."""
    return torch.where(step == 0, 0, 1 / step)
