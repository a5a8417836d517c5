"""Formats `q2_k` to `q6_k`: superblocks of 256 weights, whose groups' scales are themselves quantised."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from .gguf_bits import PACKERS, Bytes, Parts
from .gguf_format import GgufFormat
from .gguf_grid import GgufGrid, reciprocal
from .gguf_refine import refined
from .gguf_search import AFFINE_STEPS, affine_search, largest, positive_search, scale_search

SUPERBLOCK = 256


@dataclass(frozen=True, eq=False, repr=False)
class SuperblockFormat(GgufFormat):
    """Scales as llama.cpp searches them, with or without importance (`minmax`), or by plain squared error (`mse`).

    Their codes are then refined for the same errors (`gguf_refine`), which llama.cpp does not do.

    Attributes:
        scale_top: largest code of a group's scale.
        spread: how llama.cpp weighs with importance: times the root of (w^2 + spread * the superblock's mean of w^2);
            0: the importance alone.
    """

    scale_top: int = 63
    spread: float = 2.0

    family: ClassVar[str] = "gguf_k"
    pattern: ClassVar[str] = "q2_k, q3_k, q4_k, q5_k, q6_k (GGUF)"

    @classmethod
    def parse(cls, label: str) -> GgufFormat | None:
        """See `Format.parse`."""
        return SUPERBLOCKS.get(label)

    def _fit(self, weight: torch.Tensor, importance: torch.Tensor | None, search: str) -> GgufGrid:
        groups = weight.view(weight.shape[0], -1, self.group)
        plain = importance is None and search == "minmax"
        weights = self._plain(groups) if plain else self._weights(groups, importance, search)
        return GgufGrid(self, self._search(groups, weights, plain))

    @abstractmethod
    def _plain(self, groups: torch.Tensor) -> torch.Tensor:
        """How squared errors are weighed without importance: larger weights count more, as in llama.cpp."""

    @abstractmethod
    def _search(self, groups: torch.Tensor, weights: torch.Tensor, plain: bool) -> dict[str, torch.Tensor]:
        """The parts. Groups and weights have the shape (out, in / group, group); plain: the weights are `_plain`."""

    def _pack(self, codes: Bytes, parts: Parts) -> list[Bytes]:
        return PACKERS[self.name](codes, parts)

    def _weights(self, groups: torch.Tensor, importance: torch.Tensor | None, search: str) -> torch.Tensor:
        if importance is None:
            return torch.ones(1, device=groups.device).expand_as(groups)
        importance = importance.to(groups.device, torch.float32).view(-1, self.group)
        if search == "mse" or not self.spread:
            return importance.expand_as(groups)
        square = groups.square()
        mean = square.view(len(groups), -1, SUPERBLOCK).mean(-1).mul_(self.spread)
        return square.add_(mean.repeat_interleave(SUPERBLOCK // self.group, 1)[..., None]).sqrt_().mul_(importance)


class WithMinima(SuperblockFormat):
    """`q2_k`, `q4_k` and `q5_k`."""

    def steps(self, parts: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `GgufFormat.steps`."""
        return _products(parts["d"], parts["scales"]), _products(parts["dmin"], parts["minima"]).neg_()

    def _plain(self, groups: torch.Tensor) -> torch.Tensor:
        size = groups.abs()
        return size if self.codes == 4 else size.add_(groups.square().mean(-1, keepdim=True).sqrt_())

    def _search(self, groups: torch.Tensor, weights: torch.Tensor, plain: bool) -> dict[str, torch.Tensor]:
        steps = AFFINE_STEPS
        if plain:
            first, last = (-10, 11) if self.codes == 16 else (-5, 11)
            steps = tuple(0.1 * step for step in range(first, last))
        absolute = plain and self.codes == 4
        scale, minimum = affine_search(groups, weights, self.codes - 1, steps, absolute)
        total = None if plain else weights.sum(-1)
        d, scales = self._quantized(scale, total)
        dmin, minima = self._quantized(minimum.neg_(), total)
        scales, minima = refined(groups, weights, (d, dmin), (scales, minima), (0, self.codes - 1), (0, self.scale_top))
        return {"d": d, "dmin": dmin, "scales": scales.to(torch.uint8), "minima": minima.to(torch.uint8)}

    def _quantized(self, scale: torch.Tensor, weights: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        of_superblocks = scale.view(-1, SUPERBLOCK // self.group)
        if weights is None:
            step = of_superblocks.amax(-1) / self.scale_top
            codes = (of_superblocks * reciprocal(step)[:, None]).round_()
        else:
            step, codes = positive_search(of_superblocks, weights.view_as(of_superblocks), self.scale_top)
        return step.half().view(len(scale), -1), codes.clamp_(0, self.scale_top).reshape(scale.shape)


class WithoutMinima(SuperblockFormat):
    """`q3_k` and `q6_k`: scales have signs."""

    def steps(self, parts: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `GgufFormat.steps`."""
        return _products(parts["d"], parts["scales"]), None

    def _plain(self, groups: torch.Tensor) -> torch.Tensor:
        # llama.cpp has the squares alone; a search as good as this one would then add to the plain error.
        square = groups.square()
        return square.add_(square.mean(-1, keepdim=True))

    def _search(self, groups: torch.Tensor, weights: torch.Tensor, plain: bool) -> dict[str, torch.Tensor]:
        scale = scale_search(groups, weights, self.zero)
        of_superblocks = scale.view(len(scale), -1, SUPERBLOCK // self.group)
        top = self.scale_top + 1
        if plain or self.codes > 8:
            step = largest(of_superblocks, -1) / -top
        else:
            step = scale_search(of_superblocks, weights.sum(-1).view_as(of_superblocks), top)
        codes = (of_superblocks * reciprocal(step)[..., None]).round_().clamp_(-top, top - 1).view_as(scale)
        d = step.half()
        steps, both = (d, torch.zeros_like(d)), (codes, torch.zeros_like(codes))
        codes, _ = refined(groups, weights, steps, both, (-self.zero, self.zero - 1), (-top, top - 1))
        return {"d": d, "scales": codes.to(torch.int8)}


def _products(step: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    per_step = codes.shape[1] // step.shape[1]
    return (step.float()[..., None] * codes.float().view(*step.shape, per_step)).view(codes.shape)


SUPERBLOCKS: Mapping[str, GgufFormat] = {
    one.name: one
    for one in (
        WithMinima("q2_k", 10, SUPERBLOCK, 84, 16, 4, scale_top=15, spread=1.0),
        WithoutMinima("q3_k", 11, SUPERBLOCK, 110, 16, 8, 4, scale_top=31),
        WithMinima("q4_k", 12, SUPERBLOCK, 144, 32, 16),
        WithMinima("q5_k", 13, SUPERBLOCK, 176, 32, 32),
        WithoutMinima("q6_k", 14, SUPERBLOCK, 210, 16, 64, 32, scale_top=127, spread=0.0),
    )
}
