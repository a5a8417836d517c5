"""Formats `q4_0`, `q4_1`, `q5_0`, `q5_1` and `q8_0`: blocks of 32 weights with a scale and perhaps a minimum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from .gguf_bits import Bytes, Parts, as_bytes
from .gguf_format import GgufFormat
from .gguf_grid import GgufGrid, reciprocal
from .gguf_search import AFFINE_STEPS, affine_search, scale_search

BLOCK = 32


@dataclass(frozen=True, eq=False, repr=False)
class BlockFormat(GgufFormat):
    """Scales by the `gguf` package's rule (`minmax`, same bytes) or with the least weighted squared error (`mse`)."""

    family: ClassVar[str] = "gguf_block"
    pattern: ClassVar[str] = "q4_0, q4_1, q5_0, q5_1, q8_0 (GGUF)"

    @classmethod
    def parse(cls, label: str) -> GgufFormat | None:
        """See `Format.parse`."""
        return BLOCKS.get(label)

    def _fit(self, weight: torch.Tensor, importance: torch.Tensor | None, search: str) -> GgufGrid:
        blocks = weight.view(weight.shape[0], -1, BLOCK)
        if search == "mse":
            return self._search(blocks, importance)
        step = self._step(blocks)
        return GgufGrid(self, {"scale": step.half()}, reciprocal(step))

    def _step(self, blocks: torch.Tensor) -> torch.Tensor:
        """The largest value becomes code 0, whatever its sign: there is one more code below zero than above."""
        low, high = blocks.amin(-1), blocks.amax(-1)
        most = torch.where(high >= -low, high, low)
        tied = (high == -low) & (high > 0)
        if tied.any():  # the first one counts
            of_both = blocks[tied]
            places = torch.where(of_both.abs() == high[tied][:, None], torch.arange(BLOCK, device=low.device), BLOCK)
            most[tied] = of_both.gather(-1, places.amin(-1, keepdim=True))[:, 0]
        return most / -self.zero

    def _search(self, blocks: torch.Tensor, importance: torch.Tensor | None) -> GgufGrid:
        return GgufGrid(self, {"scale": scale_search(blocks, _weights(blocks, importance), self.zero).half()})

    def steps(self, parts: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `GgufFormat.steps`."""
        return parts["scale"].float(), None

    def _pack(self, codes: Bytes, parts: Parts) -> list[Bytes]:
        halves = codes.reshape(-1, 2, BLOCK // 2)
        low: Bytes = (halves[:, 0] & np.uint8(15)) | (halves[:, 1] << np.uint8(4))
        high = [np.packbits(codes >> 4, axis=1, bitorder="little")] if self.codes > 16 else []
        return [*(as_bytes(part) for part in parts.values()), *high, low]


@dataclass(frozen=True, eq=False, repr=False)
class BlockWithMinimum(BlockFormat):
    """`q4_1` and `q5_1`."""

    def _fit(self, weight: torch.Tensor, importance: torch.Tensor | None, search: str) -> GgufGrid:
        blocks = weight.view(weight.shape[0], -1, BLOCK)
        if search == "mse":
            step, minimum = affine_search(blocks, _weights(blocks, importance), self.codes - 1, AFFINE_STEPS)
            return GgufGrid(self, {"scale": step.half(), "minimum": minimum.half()})
        minimum = blocks.amin(-1)
        step = (blocks.amax(-1) - minimum) / (self.codes - 1)
        return GgufGrid(self, {"scale": step.half(), "minimum": minimum.half()}, reciprocal(step), minimum)

    def steps(self, parts: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `GgufFormat.steps`."""
        return parts["scale"].float(), parts["minimum"].float()


@dataclass(frozen=True, eq=False, repr=False)
class ByteFormat(BlockFormat):
    """`q8_0`: codes are signed, and halves go away from zero."""

    def _step(self, blocks: torch.Tensor) -> torch.Tensor:
        return blocks.abs().amax(-1) / 127

    def _search(self, blocks: torch.Tensor, importance: torch.Tensor | None) -> GgufGrid:
        return GgufGrid(self, {"scale": self._step(blocks).half()})

    def nearest(self, scaled: torch.Tensor) -> torch.Tensor:
        """See `GgufFormat.nearest`."""
        size = scaled.abs()
        whole = size.floor()
        rounded = whole + (size.sub_(whole).mul_(2)).floor_()
        return rounded.copysign_(scaled).clamp_(-128, 127)

    def _pack(self, codes: Bytes, parts: Parts) -> list[Bytes]:
        return [as_bytes(parts["scale"]), as_bytes(codes)]


def _weights(blocks: torch.Tensor, importance: torch.Tensor | None) -> torch.Tensor:
    if importance is None:
        return torch.ones(1, device=blocks.device).expand_as(blocks)
    return importance.to(blocks.device, torch.float32).view(-1, BLOCK).expand_as(blocks)


BLOCKS: Mapping[str, GgufFormat] = {
    one.name: one
    for one in (
        BlockFormat("q4_0", 2, BLOCK, 18, BLOCK, 16, 8),
        BlockWithMinimum("q4_1", 3, BLOCK, 20, BLOCK, 16),
        BlockFormat("q5_0", 6, BLOCK, 22, BLOCK, 32, 16),
        BlockWithMinimum("q5_1", 7, BLOCK, 24, BLOCK, 32),
        ByteFormat("q8_0", 8, BLOCK, 34, BLOCK, 256),
    )
}
