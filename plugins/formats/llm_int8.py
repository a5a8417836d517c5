"""Format `llm-int8`: bytes in units of each row's largest magnitude, as bitsandbytes stores them (Dettmers, 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.contracts import Format, Grid
from ...core.errors import ConfigurationError
from ...core.quantized_tensor import QuantizedTensor

HIGHEST = 127
_INVERSE = 7.874015718698502e-3
"""1 / 127 as bitsandbytes has it."""
_BY_ROWS = 0
"""The order of the bytes, the only one that bitsandbytes still knows."""


class _RowGrid(Grid):
    def __init__(self, largest: torch.Tensor) -> None:
        self.parts = {"absmax": largest}

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`; values pass through float16, as in bitsandbytes."""
        largest = self.parts["absmax"][:, None]
        scaled = values.half().float() * torch.where(largest > 0, HIGHEST / largest, 0)
        return scaled.round_().clamp_(-HIGHEST, HIGHEST).to(torch.int8)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`."""
        return codes * self.parts["absmax"][:, None] * _INVERSE


@dataclass(frozen=True, eq=False, repr=False)
class LlmInt8Format(Format):
    """w = q * absmax / 127, q from -127 to 127; `absmax`, float32, shape (out,)."""

    family: ClassVar[str] = "llm_int8"
    pattern: ClassVar[str] = "llm-int8"

    @classmethod
    def parse(cls, label: str) -> LlmInt8Format | None:
        """See `Format.parse`."""
        return cls() if label == cls.pattern else None

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return self.pattern

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: as transformers saves it, with a byte that says how the others are ordered."""
        return shape[0] * shape[1] + 4 * shape[0] + 1

    def stored(self, tensor: QuantizedTensor) -> dict[str, torch.Tensor]:
        """The tensors that bitsandbytes loads, by their names in the layer; together `nbytes` long."""
        return {
            "weight": tensor.codes,
            "SCB": tensor.parts["absmax"],
            "weight_format": torch.tensor(_BY_ROWS, dtype=torch.uint8),
        }

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`; there is no search but `minmax`."""
        if search != "minmax":
            raise ConfigurationError(f"{self.label} has no search {search!r}; leave it at 'minmax'")
        return _RowGrid(weight.half().float().abs().amax(dim=1))

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`: in float32, rounded to `dtype` at the end."""
        return _RowGrid(tensor.parts["absmax"]).values(tensor.codes).to(dtype)
