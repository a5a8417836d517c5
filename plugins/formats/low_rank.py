"""Formats with a low-rank correction beside them: `int4-g64-r16` is `int4-g64` plus a product of rank 16."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.contracts import Format, Grid
from ...core.errors import ConfigurationError
from ...core.quantization.level import format_of
from ...core.quantized_tensor import QuantizedTensor

_LABEL = re.compile(r"(.+)-r(\d+)$")


@dataclass(frozen=True, eq=False, repr=False)
class LowRankFormat(Format):
    """w = what another format holds + left right, as a LoRA adapter beside a quantised model has it.

    Parts: those of the other format; `left` (out, rank) and `right` (rank, in), bfloat16. Without these two the
    correction is 0.
    """

    inner: Format
    rank: int

    family: ClassVar[str] = "low_rank"
    pattern: ClassVar[str] = "int4-g64-r16 (any format, with a correction of rank 16)"

    @classmethod
    def parse(cls, label: str) -> LowRankFormat | None:
        """See `Format.parse`."""
        match = _LABEL.match(label)
        if match is None:
            return None
        rank = int(match[2])
        if rank < 1:
            raise ConfigurationError(f"the format {label!r}: a correction has at least rank 1")
        return cls(format_of(match[1]), rank)

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return f"{self.inner.label}-r{self.rank}"

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        found = self.inner.misfit(shape)
        if found is None and self.rank > min(shape):
            return f"a matrix of {shape[0]} x {shape[1]} has no rank of {self.rank}"
        return found

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: the other format's, and 2 for each number of the factors."""
        return self.inner.nbytes(shape) + 2 * self.rank * (shape[0] + shape[1])

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`: the other format's grid."""
        return self.inner.fit(weight, importance, search, dtype)

    def encode(self, grid: Grid, weight: torch.Tensor) -> QuantizedTensor:
        """See `Format.encode`: without a correction."""
        found = self.inner.encode(grid, weight)
        return QuantizedTensor(self, found.shape, found.codes, found.parts)

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`: the other format's values in `dtype`; the sum in float32, rounded at the end."""
        parts = dict(tensor.parts)
        left, right = parts.pop("left", None), parts.pop("right", None)
        found = self.inner.dequantize(QuantizedTensor(self.inner, tensor.shape, tensor.codes, parts), dtype)
        if left is None or right is None:
            return found
        return torch.addmm(found.float(), left.float(), right.float()).to(dtype)
