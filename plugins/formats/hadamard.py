"""Formats `...-h32`: another format's grid, for weights that a Hadamard matrix turned block by block along the input.

Egiazarian et al., Bridging the Gap Between Promise and Performance for Microscaling FP4 Quantization (MR-GPTQ), 2025.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch

from ...core.contracts import Format, Grid
from ...core.errors import ConfigurationError, MaterialiseError
from ...core.quantization.level import format_of
from ...core.quantized_tensor import QuantizedTensor
from .groups import grouped

_LABEL = re.compile(r"(.+)-h(\d+)$")


@cache
def hadamard(size: int) -> torch.Tensor:
    """Sylvester's matrix of this size, a power of two, over its square root: float32, symmetric, its own inverse."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / math.sqrt(size)


def turned(matrix: torch.Tensor, size: int) -> torch.Tensor:
    """A float32 matrix whose rows were turned, each run of `size` columns for itself; turned twice it is the same."""
    return (grouped(matrix, size) @ hadamard(size).to(matrix.device)).flatten(1)


class HadamardGrid(Grid):
    """A grid in the turned space. It rounds whole blocks only: a turned column is a mixture of its block's columns."""

    def __init__(self, inner: Grid, size: int) -> None:
        self.parts = inner.parts
        self._inner, self._size = inner, size

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`. Raises MaterialiseError for columns that are not whole blocks."""
        self._check(values, first)
        return self._inner.round(turned(values, self._size), first)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`; raises as `round` does."""
        self._check(codes, first)
        return turned(self._inner.values(codes, first), self._size)

    def _check(self, values: torch.Tensor, first: int) -> None:
        if first % self._size or values.shape[1] % self._size:
            raise MaterialiseError(
                f"columns {first} to {first + values.shape[1]} are no whole Hadamard blocks of {self._size} and cannot "
                "be rounded alone; the quantiser mr_gptq rounds column by column in the turned space"
            )


@dataclass(frozen=True, eq=False, repr=False)
class HadamardFormat(Format):
    """W = inner(W H) H, H the block Hadamard matrix: outliers are spread over their block before they are rounded.

    The engine keeps inner(W H) and turns its input, x H, at run time (FP-Quant in transformers); here the weight is
    turned back, in float32. Quantisers that choose a column at a time must do so in the turned space: they quantise
    `turned(weight)` to `inner` with `turned_gram(gram)`, and put codes and parts into a `QuantizedTensor` of this.

    Attributes:
        inner: the format of the turned weight.
        size: columns that are turned together, a power of two.
    """

    inner: Format
    size: int

    family: ClassVar[str] = "hadamard"
    pattern: ClassVar[str] = "mxfp4-h32, int4-g128-h128 (any format, turned by Hadamard matrices of that size)"

    @classmethod
    def parse(cls, label: str) -> HadamardFormat | None:
        """See `Format.parse`."""
        match = _LABEL.match(label)
        if match is None:
            return None
        inner, size = format_of(match[1]), int(match[2])
        if size < 2 or size & (size - 1):
            raise ConfigurationError(f"the format {label!r}: Hadamard matrices here have 2, 4, 8... rows, not {size}")
        if isinstance(inner, HadamardFormat):
            raise ConfigurationError(f"the format {label!r} is turned twice; leave one -h away")
        return cls(inner, size)

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return f"{self.inner.label}-h{self.size}"

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        found = self.inner.misfit(shape)
        if found is None and shape[1] % self.size:
            return f"Hadamard blocks of {self.size} do not divide its {shape[1]} columns"
        return found

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: the inner format's; the rotation is known from the label."""
        return self.inner.nbytes(shape)

    def turned(self, weight: torch.Tensor) -> torch.Tensor:
        """W H: what the inner format holds. Float32, shape (out, in)."""
        return turned(weight, self.size)

    def turned_gram(self, gram: torch.Tensor) -> torch.Tensor:
        """Second moments of the turned inputs, H E[x x^T] H: float32, shape (in, in)."""
        return turned(turned(gram, self.size).T, self.size)

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`. A turned column counts as much as its block does on average."""
        misfit = self.misfit(tuple(weight.shape))
        if misfit is not None:
            raise ConfigurationError(f"a matrix of shape {list(weight.shape)} cannot be {self.label}: {misfit}")
        if importance is not None:
            importance = importance.reshape(-1, self.size).mean(1).repeat_interleave(self.size)
        return HadamardGrid(self.inner.fit(self.turned(weight), importance, search, dtype), self.size)

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`."""
        inner = QuantizedTensor(self.inner, tensor.shape, tensor.codes, tensor.parts)
        return self.turned(inner.dequantize(torch.float32)).to(dtype)
