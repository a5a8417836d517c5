"""Formats `mxfp4`, `mxfp4_ocp` and `mxfp8`: small floats in blocks of 32 that share a power of two (OCP, 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.contracts import Format, Grid
from ...core.quantized_tensor import QuantizedTensor
from . import e2m1
from .block_search import check_fit, largest_of_blocks, least_error
from .groups import aligned, group_misfit

BLOCK = 32
_FP8 = torch.float8_e4m3fn
_FP8_LARGEST = 448.0
_MX_LABELS = ("mxfp4", "mxfp4_ocp", "mxfp8")


class MicroscalingGrid(Grid):
    """Small floats times the block's power of two.

    Attributes:
        parts: `exponent`, uint8, shape (out, in / 32): E8M0, the scale is 2^(exponent - 127).
    """

    def __init__(self, format: MicroscalingFormat, exponent: torch.Tensor) -> None:  # noqa: A002
        self.parts = {"exponent": exponent}
        self._format = format
        self._scales = power_of_two(exponent)

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`."""
        seen, (scales,) = aligned(values, [self._scales], BLOCK, first)
        return self._format.element_codes(seen / scales).reshape(values.shape)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`."""
        seen, (scales,) = aligned(codes, [self._scales], BLOCK, first)
        return (self._format.elements(seen) * scales).reshape(codes.shape)


def power_of_two(exponent: torch.Tensor) -> torch.Tensor:
    """2^(exponent - 127), float32, for E8M0 exponents."""
    return torch.ldexp(torch.ones(exponent.shape), exponent.int() - 127)


@dataclass(frozen=True, eq=False, repr=False)
class MicroscalingFormat(Format):
    """w = element * 2^(exponent - 127).

    Which exponent a block gets is for its engine to say. `mxfp4` and `mxfp8` follow compressed-tensors, where a block
    whose largest magnitude is at least 1.75 times a power of two gets the next exponent; `mxfp4_ocp` follows the
    specification and ggml (GGUF's MXFP4), where it does not and the largest are cut off at 6 * 2^(exponent - 127).

    Codes are uint8: E2M1's 0 to 15, or the bytes of `float8_e4m3fn`.

    Attributes:
        name: the label.
    """

    name: str

    family: ClassVar[str] = "microscaling"
    pattern: ClassVar[str] = "mxfp4 (compressed-tensors' exponents), mxfp4_ocp (GGUF's), mxfp8"

    @classmethod
    def parse(cls, label: str) -> MicroscalingFormat | None:
        """See `Format.parse`."""
        return cls(label) if label in _MX_LABELS else None

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return self.name

    @property
    def group(self) -> int:
        """Weights in a row that share a scale."""
        return BLOCK

    @property
    def wide(self) -> bool:
        """Whether the elements are E4M3 rather than E2M1."""
        return self.name == "mxfp8"

    @property
    def specification(self) -> bool:
        """Whether it is the specification's rule, not compressed-tensors', that says which exponent a block gets."""
        return self.name == "mxfp4_ocp"

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        return super().misfit(shape) or group_misfit(shape, BLOCK)

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: 17 or 33 bytes a block, in either engine's file."""
        return shape[0] * (shape[1] // BLOCK) * (BLOCK + 1 if self.wide else BLOCK // 2 + 1)

    def element_codes(self, ratios: torch.Tensor) -> torch.Tensor:
        """Codes of the elements nearest to weights that were divided by their scales."""
        if self.wide:
            # -0 becomes 0, as by the zero points that compressed-tensors adds.
            return (ratios.clamp(-_FP8_LARGEST, _FP8_LARGEST) + 0.0).to(_FP8).view(torch.uint8)
        return e2m1.encode(ratios, ties_to_even=not self.specification)

    def elements(self, codes: torch.Tensor) -> torch.Tensor:
        """What the codes stand for before they are scaled, float32."""
        return codes.view(_FP8).float() if self.wide else e2m1.decode(codes)

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`: `minmax` is the engine's rule; `mse` also tries one exponent less and one more."""
        check_fit(self, weight, search, ("minmax", "mse"))
        largest = largest_of_blocks(weight, BLOCK)
        exponent = self._specified(largest) if self.specification else self._rounded(largest)
        if search == "mse":
            steps = (exponent, exponent - 1, exponent + 1)
            exponent = least_error(
                weight,
                importance,
                BLOCK,
                (step.clamp(0, 254) for step in steps),
                lambda tried: MicroscalingGrid(self, tried).nearest(weight),
            )
        return MicroscalingGrid(self, exponent.to(torch.uint8))

    def _rounded(self, largest: torch.Tensor) -> torch.Tensor:
        # A quarter of a power of two carries what lies at 1.75 or more into the bits of the exponent.
        exponent = (largest.view(torch.int32) + (1 << 21)) >> 23
        return (exponent - (8 if self.wide else 2)).clamp_(0, 254)

    def _specified(self, largest: torch.Tensor) -> torch.Tensor:
        return (largest.log2().floor_() + (127 - 2)).clamp_(0, 254).int()

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`: the product is exact in bfloat16, in which compressed-tensors computes it."""
        return MicroscalingGrid(self, tensor.parts["exponent"]).values(tensor.codes).to(dtype)
