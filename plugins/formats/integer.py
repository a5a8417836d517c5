"""Formats `int1` to `int8`: evenly spaced values with a scale for each group, channel or tensor."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.contracts import Format, Grid
from ...core.errors import ConfigurationError, did_you_mean
from ...core.quantized_tensor import QuantizedTensor
from . import min_max
from .groups import (
    LABEL,
    TENSOR,
    group_count,
    group_misfit,
    group_name,
    grouped,
    grouped_columns,
    named_group,
    stored,
)
from .integer_grid import IntegerGrid, spread
from .integer_search import Uniform, Zeros
from .neuqi import near_optimal
from .shrinking import chunks, least_shrunk, relative

_LABEL = re.compile(rf"int(\d+){LABEL}(-asym|-float)?$")
DEFAULT_GROUP = 128


@dataclass(frozen=True, eq=False, repr=False)
class IntegerFormat(Format):
    """w = scale * (q - zero), q a whole number of `width` bits, as compressed-tensors' `pack-quantized` stores it.

    Codes (int8) go from -2^(width-1) to 2^(width-1) - 1. Parts: `scale` in the model's dtype, of shape (out, groups),
    (out, 1) for channels or (1,) for a tensor; `zero` of the same shape, int8, or float16 where it is a real number.

    `int1` without zero points has the values -scale/2 and +scale/2 (a zero point of -1/2): with codes -1 and 0, the
    library's own would be -scale and 0. Neither it nor real zero points are of `pack-quantized`: see `packs`.

    Attributes:
        width: bits of a code, 1 to 8.
        group: weights in a row that share a scale; 0: a row; -1: the matrix.
        symmetric: whether there are no zero points.
        real: whether zero points are real numbers instead of codes (label `-float`).
    """

    width: int
    group: int = DEFAULT_GROUP
    symmetric: bool = True
    real: bool = False

    family: ClassVar[str] = "integer"
    searches: ClassVar[tuple[str, ...]] = ("minmax", "mse", "neuqi")
    pattern: ClassVar[str] = "int4 (groups of 128), int3-g64, int8-channel, int4-g128-asym, int2-g64-float"

    @classmethod
    def parse(cls, label: str) -> IntegerFormat | None:
        """See `Format.parse`."""
        match = _LABEL.match(label)
        if match is None:
            return None
        width, groups, zeros = match.groups()
        if not 1 <= int(width) <= 8:
            raise ConfigurationError(f"the format {label!r}: integers have 1 to 8 bits")
        return cls(int(width), named_group(groups, DEFAULT_GROUP), zeros is None, zeros == "-float")

    @property
    def label(self) -> str:
        """See `Format.label`."""
        groups = group_name(self.group, DEFAULT_GROUP)
        return f"int{self.width}{groups}{'' if self.symmetric else '-float' if self.real else '-asym'}"

    @property
    def packs(self) -> bool:
        """Whether compressed-tensors' `pack-quantized` can hold it."""
        return not self.real and (self.width > 1 or not self.symmetric)

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        return super().misfit(shape) or group_misfit(shape, self.group)

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: rows of 32-bit words without gaps, scales of 2 bytes, zero points, the shape.

        Whole zero points are packed like the codes, down the columns; a tensor's only one is a byte. Real ones have 2.
        """
        rows, columns = shape
        groups = group_count(shape, self.group)
        if self.symmetric:
            zeros = 0
        elif self.real:
            zeros = 2 * groups
        elif self.group == TENSOR:
            zeros = 1
        else:
            zeros = 4 * math.ceil(rows * self.width / 32) * (groups // rows)
        return 4 * rows * math.ceil(columns * self.width / 32) + 2 * groups + zeros + 16

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`.

        `mse` shrinks the clip range (`shrinking`), then fits scales by least squares; `neuqi` goes on from there to
        near-optimal zero points (`neuqi`), where there are any.
        """
        misfit = self.misfit(tuple(weight.shape))
        if misfit is not None:
            raise ConfigurationError(f"a matrix of shape {list(weight.shape)} cannot be {self.label}: {misfit}")
        if search not in self.searches:
            raise ConfigurationError(f"{self.label} has no search {search!r}. {did_you_mean(search, self.searches)}")
        groups = grouped(weight, self.group)
        if search == "minmax":
            return self.grid(*self.plain(*groups.aminmax(dim=-1), dtype))
        counts = grouped_columns(relative(importance, weight.shape[1], weight.device), self.group, weight.shape[0])
        found = [self._search(groups[rows], counts, search, dtype) for rows in chunks(groups)]
        scale, zero = (torch.cat(pieces) for pieces in zip(*found, strict=True))
        return self.grid(scale.to(dtype), None if self.symmetric else zero if self.real else zero.to(torch.int8))

    def _search(
        self, weight: torch.Tensor, importance: torch.Tensor, search: str, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        groups = self.uniform(weight, importance, dtype)
        low, high = weight.aminmax(dim=-1)

        def clipped(factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            scale, zero = self.plain(low * factor, high * factor, dtype)
            zero = torch.full_like(low, self._middle) if zero is None else zero.float()
            return groups.storable(scale.float(), zero)

        found = groups.refit(*clipped(least_shrunk(lambda factor: groups.loss(*clipped(factor)), low)))
        return near_optimal(groups, *found) if search == "neuqi" and not self.symmetric else found

    def uniform(self, weight: torch.Tensor, importance: torch.Tensor, dtype: torch.dtype) -> Uniform:
        """Groups of weights, shape (rows, groups, size), for which scales and zero points are looked for."""
        zeros: Zeros = "fixed" if self.symmetric else "real" if self.real else "whole"
        return Uniform(weight, importance, self.width, zeros, dtype)

    @property
    def _middle(self) -> float:
        return -0.5 if self.symmetric and self.width == 1 else 0.0

    def grid(self, scale: torch.Tensor, zero: torch.Tensor | None) -> IntegerGrid:
        """The grid with these scales and zero points, shape (out, groups), in the dtypes they are stored in."""
        parts = {"scale": stored(scale, self.group)}
        if zero is not None:
            parts["zero"] = stored(zero.to(torch.float16) if self.real else zero, self.group)
        return IntegerGrid(parts, self.group, -(2 ** (self.width - 1)), 2 ** (self.width - 1) - 1, self._middle)

    def plain(
        self, low: torch.Tensor, high: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Scales in `dtype` and zero points of groups with these extremes."""
        if self.real:
            scale, zero = min_max.real_zero(low, high, self.width)
            return scale.to(dtype), zero
        if self.symmetric:
            return min_max.symmetric_scale(low.to(dtype), high.to(dtype), self.width), None
        return min_max.integer_zero(low.to(dtype), high.to(dtype), self.width)

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`: in `dtype`, as compressed-tensors does it; what that has not, in float32."""
        if not self.packs:
            return self.grid(tensor.parts["scale"], tensor.parts.get("zero")).values(tensor.codes).to(dtype)
        parts = [part.to(dtype) for part in tensor.parts.values()]
        return spread(tensor.codes, parts, self.group)
