"""Format `nvfp4`: E2M1 in blocks of 16, whose scales are E4M3 times one number for the matrix (NVIDIA, 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.contracts import Format, Grid
from ...core.quantized_tensor import QuantizedTensor
from . import e2m1
from .block_search import check_fit, largest_of_blocks, least_error
from .groups import aligned, group_misfit

BLOCK = 16
_FP8 = torch.float8_e4m3fn
_FP8_LARGEST = 448.0
_SCALE_OF_ZEROS = 0.125


class Nvfp4Grid(Grid):
    """E2M1 times the block's scale.

    Attributes:
        parts: `scale`, float8_e4m3fn, shape (out, in / 16), and its divisor `global_scale`, float32, shape (1,).
    """

    def __init__(self, scale: torch.Tensor, global_scale: torch.Tensor) -> None:
        self.parts = {"scale": scale, "global_scale": global_scale}
        self._scales = scale.float() / global_scale

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`."""
        seen, (scales,) = aligned(values, [self._scales], BLOCK, first)
        return e2m1.encode(seen / scales, ties_to_even=True).reshape(values.shape)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`."""
        seen, (scales,) = aligned(codes, [self._scales], BLOCK, first)
        return (e2m1.decode(seen) * scales).reshape(codes.shape)


@dataclass(frozen=True, eq=False, repr=False)
class Nvfp4Format(Format):
    """w = element * (scale / global_scale), as compressed-tensors' `nvfp4-pack-quantized` computes it; uint8 codes."""

    family: ClassVar[str] = "nvfp4"
    pattern: ClassVar[str] = "nvfp4"

    @classmethod
    def parse(cls, label: str) -> Nvfp4Format | None:
        """See `Format.parse`."""
        return cls() if label == "nvfp4" else None

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return "nvfp4"

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        return super().misfit(shape) or group_misfit(shape, BLOCK)

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: 9 bytes a block, and 4 for the matrix."""
        return shape[0] * (shape[1] // BLOCK) * (BLOCK // 2 + 1) + 4

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`: `minmax` is compressed-tensors' rule, computed in `dtype` as it does; `mse` tries scales
        from 1.25 down to 0.5 times these."""
        check_fit(self, weight, search, ("minmax", "mse"))
        largest = largest_of_blocks(weight, BLOCK).to(dtype)
        most = largest.amax().clamp_min(torch.finfo(dtype).tiny)
        global_scale = (_FP8_LARGEST * e2m1.LARGEST / most).nan_to_num(1.0, 1.0, 1.0).float().reshape(1)
        plain = global_scale * (largest / e2m1.LARGEST)
        scale = stored_scale(plain)
        if search == "mse":
            factors = [1.0, *torch.linspace(1.25, 0.5, 16).tolist()]
            scale = least_error(
                weight,
                importance,
                BLOCK,
                (stored_scale(plain * factor).float() for factor in factors),
                lambda tried: Nvfp4Grid(tried, global_scale).nearest(weight),
            ).to(_FP8)
        return Nvfp4Grid(scale, global_scale)

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`."""
        return Nvfp4Grid(tensor.parts["scale"], tensor.parts["global_scale"]).values(tensor.codes).to(dtype)


def stored_scale(scales: torch.Tensor) -> torch.Tensor:
    """In E4M3, which has no infinity; a scale that would be 0, and nothing can be divided by, is 1/8 instead."""
    found = scales.clamp(-_FP8_LARGEST, _FP8_LARGEST).to(_FP8)
    return torch.where(found.float() == 0, torch.full_like(found, _SCALE_OF_ZEROS), found)
