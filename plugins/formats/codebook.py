"""Formats `nf4` and `fp4`: bitsandbytes' sixteen unevenly spaced values, times the largest magnitude of a block."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch

from ...core.contracts import Format, Grid
from ...core.errors import ConfigurationError
from ...core.quantized_tensor import QuantizedTensor
from .bitsandbytes_layout import stored, stored_bytes
from .block_search import check_fit, largest_of_blocks, least_error
from .dynamic_map import dequantize_blockwise, quantize_blockwise
from .groups import aligned, group_misfit
from .tables import count_below, look_up

_LABEL = re.compile(r"(nf4|fp4)(?:-b(\d+))?(-dq)?$")
_BLOCKS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
DEFAULT_BLOCK = 64
# Quantiles of the normal distribution, those of the two sides taken apart: Dettmers et al., QLoRA, 2023, appendix E.
_NORMAL = """
    -1.0 -0.6961928009986877 -0.5250730514526367 -0.39491748809814453 -0.28444138169288635 -0.18477343022823334
    -0.09105003625154495 0.0 0.07958029955625534 0.16093020141124725 0.24611230194568634 0.33791524171829224
    0.44070982933044434 0.5626170039176941 0.7229568362236023 1.0
"""
_FLOAT = (0, 0.0625, 8, 12, 4, 6, 2, 3)


@cache
def levels(kind: str) -> torch.Tensor:
    """The sixteen values in the order of their codes, float32, the largest 1."""
    if kind == "nf4":
        return torch.tensor([float(value) for value in _NORMAL.split()])
    return torch.tensor([*_FLOAT, *(-value for value in _FLOAT)]) / max(_FLOAT)


@cache
def _boundaries(kind: str) -> tuple[list[float], torch.Tensor]:
    """The middles between neighbours, and the code of each stretch between two."""
    values = levels(kind)
    # Of FP4's two zeros bitsandbytes takes the one with code 0 for what lies below 0, the other for what lies above.
    order = torch.argsort(values, stable=True)
    middles = (values[order[:-1]] + values[order[1:]]) / 2
    return middles.tolist(), order.to(torch.uint8)


class CodebookGrid(Grid):
    """Sixteen values times a scale for each block.

    The codes are those of the exact scales, also where the scales are stored more coarsely.
    """

    def __init__(self, kind: str, block: int, absmax: torch.Tensor, parts: dict[str, torch.Tensor]) -> None:
        self.parts = parts
        self._kind, self._block = kind, block
        self._inverse = 1 / absmax.clamp_min(1e-38)
        self._scales = effective_scales(parts, absmax.shape)

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`."""
        middles, order = _boundaries(self._kind)
        seen, (inverse,) = aligned(values, [self._inverse], self._block, first)
        places = count_below(seen * inverse, middles).reshape(values.shape)
        return places if self._kind == "nf4" else look_up(order, places)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`."""
        return spread(codes, self._scales, self._kind, self._block, first)


def spread(codes: torch.Tensor, scales: torch.Tensor, kind: str, block: int, first: int = 0) -> torch.Tensor:
    """Levels times scales, float32: of columns from `first` on."""
    seen, (scale,) = aligned(codes, [scales], block, first)
    return (look_up(levels(kind), seen) * scale).reshape(codes.shape)


def effective_scales(parts: dict[str, torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """What codes are multiplied by: float32, shape (out, in / block)."""
    if "nested_absmax" not in parts:
        return parts["absmax"].view(shape)
    found = dequantize_blockwise(parts["absmax"].flatten(), parts["nested_absmax"])
    return (found + parts["nested_offset"]).view(shape)


@dataclass(frozen=True, eq=False, repr=False)
class CodebookFormat(Format):
    """w = level[code] * absmax: Dettmers et al., QLoRA (2023), as bitsandbytes computes and stores it.

    The codes are uint8. Parts: `absmax`, float32, (out, in / block); if it is doubly quantised uint8, with
    `nested_absmax`, float32, one for 256 of them, and `nested_offset`, their mean.

    Attributes:
        kind: `nf4` (quantiles of the normal distribution) or `fp4` (E2M1 in bitsandbytes' own variety).
        block: weights in a row that share a scale: a power of two from 32 to 4096.
        double: whether the scales are quantised too, to 8 bits.
    """

    kind: str
    block: int = DEFAULT_BLOCK
    double: bool = False

    family: ClassVar[str] = "codebook"
    pattern: ClassVar[str] = "nf4 (blocks of 64), nf4-dq (scales quantised too), fp4-b128"

    @classmethod
    def parse(cls, label: str) -> CodebookFormat | None:
        """See `Format.parse`."""
        match = _LABEL.match(label)
        if match is None:
            return None
        kind, block, double = match.groups()
        if block is not None and int(block) not in _BLOCKS:
            raise ConfigurationError(f"the format {label!r}: bitsandbytes has blocks of {', '.join(map(str, _BLOCKS))}")
        return cls(kind, int(block or DEFAULT_BLOCK), double is not None)

    @property
    def label(self) -> str:
        """See `Format.label`."""
        block = "" if self.block == DEFAULT_BLOCK else f"-b{self.block}"
        return f"{self.kind}{block}{'-dq' if self.double else ''}"

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`. Blocks that run across rows are refused: bitsandbytes' kernels disagree about them."""
        return super().misfit(shape) or group_misfit(shape, self.block)

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: as transformers saves it, the description in JSON padded to its longest."""
        return stored_bytes(self.kind, self.block, shape, self.double)

    def stored(self, tensor: QuantizedTensor, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """The tensors that bitsandbytes loads, by what follows the weight's name; together `nbytes` long."""
        return stored(self.kind, self.block, tensor.shape, tensor.codes, tensor.parts, levels(self.kind), dtype)

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`: `minmax` is bitsandbytes' rule; `mse` tries scales down to half of it."""
        check_fit(self, weight, search, ("minmax", "mse"))
        absmax = largest_of_blocks(weight, self.block)
        if search == "mse":
            factors = torch.linspace(1, 0.5, 21).tolist()
            absmax = least_error(
                weight,
                importance,
                self.block,
                (absmax * factor for factor in factors),
                lambda scales: CodebookGrid(self.kind, self.block, scales, {"absmax": scales}).nearest(weight),
            )
        return CodebookGrid(self.kind, self.block, absmax, self._parts(absmax))

    def _parts(self, absmax: torch.Tensor) -> dict[str, torch.Tensor]:
        if not self.double:
            return {"absmax": absmax}
        offset = absmax.flatten().mean()
        codes, largest = quantize_blockwise(absmax.flatten() - offset)
        return {"absmax": codes.view(absmax.shape), "nested_absmax": largest, "nested_offset": offset}

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`."""
        scales = effective_scales(dict(tensor.parts), (tensor.shape[0], tensor.shape[1] // self.block))
        return spread(tensor.codes, scales, self.kind, self.block).to(dtype)
