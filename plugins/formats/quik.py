"""Formats `quik`: a scale for each row, and some columns kept whole (Ashkboos et al., 2023)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.contracts import Format, Grid
from ...core.errors import ConfigurationError
from ...core.quantized_tensor import QuantizedTensor
from .groups import CHANNEL
from .integer import IntegerFormat

_LABEL = re.compile(r"quik-(\d)b(?:-o(\d+))?$")
DEFAULT_KEPT = 256


class QuikGrid(Grid):
    """An integer grid that knows which columns are kept; these are rounded like the others by who does not look."""

    def __init__(self, inner: Grid, kept: torch.Tensor) -> None:
        self.inner = inner
        self.parts = {**inner.parts, "kept_columns": kept}

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`."""
        return self.inner.round(values, first)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`."""
        return self.inner.values(codes, first)


@dataclass(frozen=True, eq=False, repr=False)
class QuikFormat(Format):
    """w = scale * q with a scale for each row, but for `kept` columns in bfloat16.

    Parts: the scale; `kept_columns`, (kept,), ascending; `kept_values`, (out, kept), in whose places the codes are 0.
    No engine but the authors' own (CUDA) reads it; elsewhere it goes dequantised.

    Attributes:
        width: bits of a code, 2 to 8.
        kept: columns that stay whole.
    """

    width: int
    kept: int = DEFAULT_KEPT

    family: ClassVar[str] = "quik"
    pattern: ClassVar[str] = "quik-4b (256 columns kept), quik-8b-o64"

    @classmethod
    def parse(cls, label: str) -> QuikFormat | None:
        """See `Format.parse`."""
        match = _LABEL.match(label)
        if match is None:
            return None
        width, kept = int(match[1]), int(match[2] or DEFAULT_KEPT)
        if not 2 <= width <= 8:
            raise ConfigurationError(f"the format {label!r}: codes have 2 to 8 bits")
        return cls(width, kept)

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return f"quik-{self.width}b" + ("" if self.kept == DEFAULT_KEPT else f"-o{self.kept}")

    @property
    def inner(self) -> IntegerFormat:
        """What the other columns are stored in."""
        return IntegerFormat(self.width, CHANNEL)

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        found = super().misfit(shape)
        if found is None and self.kept >= shape[1]:
            return f"{self.kept} columns cannot be kept of its {shape[1]}; name fewer, such as quik-{self.width}b-o16"
        return found

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: kept columns have 2 bytes for each weight and for their number (4 beyond 65536)."""
        rows, columns = shape
        place = 2 if columns <= 1 << 16 else 4
        return self.inner.nbytes((rows, columns - self.kept)) + self.kept * (2 * rows + place)

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`; the most important columns are kept, or those with the largest weights if none is said to
        be."""
        misfit = self.misfit(tuple(weight.shape))
        if misfit is not None:
            raise ConfigurationError(f"a matrix of shape {list(weight.shape)} cannot be {self.label}: {misfit}")
        sizes = weight.abs().amax(dim=0) if importance is None else importance
        return self.grid(weight, largest(sizes, self.kept), importance, search, dtype)

    def grid(
        self, weight: torch.Tensor, kept: torch.Tensor, importance: torch.Tensor | None, search: str, dtype: torch.dtype
    ) -> QuikGrid:
        """The grid for the columns that are not kept. Raises as `fit` does."""
        inner = self.inner.fit(weight.index_fill(1, kept, 0), importance, search, dtype)
        return QuikGrid(inner, kept.to(torch.int32))

    def encode(self, grid: Grid, weight: torch.Tensor) -> QuantizedTensor:
        """See `Format.encode`."""
        return self.tensor(grid, grid.round(weight), weight)

    def tensor(self, grid: Grid, codes: torch.Tensor, kept_from: torch.Tensor) -> QuantizedTensor:
        """Codes of all columns, and a matrix that the kept ones are taken from."""
        kept = grid.parts["kept_columns"].long()
        parts = {**grid.parts, "kept_values": kept_from[:, kept].bfloat16()}
        return QuantizedTensor(self, tuple(codes.shape), codes.index_fill(1, kept, 0), parts)

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`."""
        parts = dict(tensor.parts)
        kept, values = parts.pop("kept_columns").long(), parts.pop("kept_values", None)
        found = self.inner.dequantize(QuantizedTensor(self.inner, tensor.shape, tensor.codes, parts), dtype)
        return found if values is None else found.index_copy(1, kept, values.to(dtype))


def largest(sizes: torch.Tensor, count: int) -> torch.Tensor:
    """Places of the largest, ascending; of equal ones the first."""
    return sizes.argsort(descending=True, stable=True)[:count].sort().values
