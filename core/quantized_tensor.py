"""A quantised weight: what the search evaluates (dequantised) and what exporters write (its parts): one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .contracts.format import Format


@dataclass(frozen=True)
class QuantizedTensor:
    """A matrix as a format holds it.

    Attributes:
        format: how the parts are to be understood.
        shape: of the weight, (out, in).
        codes: an integer for each weight, int16 or smaller, of that shape (formats with other codes say so).
        parts: whatever else the format keeps: scales, zero points, outliers..., by name, in the dtypes it stores.
    """

    format: Format
    shape: tuple[int, ...]
    codes: torch.Tensor
    parts: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The weight, shape (out, in), in `dtype`, computed as the format's engine computes it."""
        return self.format.dequantize(self, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed weight, scales and all; a file's header is not counted."""
        return self.format.nbytes(self.shape)
