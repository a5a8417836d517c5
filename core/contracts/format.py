"""Contract `heterosis.formats`: which values a quantised weight may take, and how many bytes that takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from ..quantized_tensor import QuantizedTensor


class Grid(ABC):
    """The values that each element of one matrix may take: a format, with its scales chosen. Rows are outputs.

    Attributes:
        parts: the scales, zero points... as they are stored; see `QuantizedTensor.parts`.
    """

    parts: dict[str, torch.Tensor]

    @abstractmethod
    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Codes of the nearest values of the grid.

        Args:
            values: float32, shape (out, n): the matrix's columns `first` to `first` + n, whatever has become of them.
        """

    @abstractmethod
    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """What the codes stand for: float32, of their shape. Columns as for `round`."""

    def nearest(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """The nearest values of the grid, float32."""
        return self.values(self.round(values, first), first)


class Format(ABC):
    """One way to store a matrix, settings included: immutable; equal if the labels are.

    A plugin is a family of formats. Rounding, values, sizes and the exporters' packing all come from here, so that what
    was measured is what is shipped.

    Attributes:
        family: name of the entry point.
        pattern: how its labels are written, for messages: `int4-g128, int3-channel-asym`.
    """

    family: ClassVar[str]
    pattern: ClassVar[str]

    @classmethod
    @abstractmethod
    def parse(cls, label: str) -> Format | None:
        """The format that `label` means; None if it is none of this family.

        Raises:
            ConfigurationError: it is of this family, but a setting makes no sense (with what would).
        """

    @property
    @abstractmethod
    def label(self) -> str:
        """The shortest text that `parse` reads back."""

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why a matrix of this shape cannot be stored so, for people; None if it can."""
        return None if len(shape) == 2 else f"it has {len(shape)} dimensions, not 2"

    @abstractmethod
    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes of the packed matrix with its scales and all, in the file that is this format's own."""

    def bits(self, shape: tuple[int, ...]) -> float:
        """Bits for each weight, scales and all."""
        return 8 * self.nbytes(shape) / (shape[0] * shape[1])

    @abstractmethod
    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """A grid for a matrix.

        Args:
            weight: float32, shape (out, in).
            importance: positive, shape (in,): how much an error in a column counts (E[x^2] of its input); None: all the
                same. Formats without a search leave it unused.
            search: how scales are found: `minmax` (the format's plain rule), `mse` (least weighted squared error), or
                others that the family knows.
            dtype: what scales are stored in where the format leaves it to the model.

        Raises:
            ConfigurationError: the family does not know this search, or the shape does not fit.
        """

    def encode(self, grid: Grid, weight: torch.Tensor) -> QuantizedTensor:
        """The matrix rounded to a grid of `fit`."""
        return QuantizedTensor(self, tuple(weight.shape), grid.round(weight), grid.parts)

    @abstractmethod
    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `QuantizedTensor.dequantize`."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and self.label == other.label

    def __hash__(self) -> int:
        return hash(self.label)

    def __repr__(self) -> str:
        return f"<format {self.label}>"
