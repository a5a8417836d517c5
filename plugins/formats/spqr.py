"""Formats `spqr`: small groups whose scales are themselves quantised, a few weights kept apart (Dettmers, 2023)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.contracts import Format
from ...core.errors import ConfigurationError
from ...core.quantized_tensor import QuantizedTensor
from .groups import group_misfit, grouped
from .spqr_grid import ROWS, WIDTH, SpqrGrid, second_level

_LABEL = re.compile(r"spqr-(\d)b(?:-g(\d+))?(?:-o(\d+(?:\.\d+)?))?$")
DEFAULT_GROUP = 16
DEFAULT_SHARE = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class SpqrFormat(Format):
    """w = scale * (q - zero) in groups of a row; outliers in bfloat16 instead, row by row with their columns (CSR).

    The 3-bit codes of scales and of zeros share a step and a lowest value in 16 rows. No engine but the authors' own
    (CUDA) reads it; elsewhere it goes dequantised.

    Parts: `scale_codes`, `zero_codes` (out, in / group); `scale_step`, `scale_low`, `zero_step`, `zero_low` (out / 16,
    in / group); and, where there are outliers, `outlier_offsets` (out + 1), `outlier_columns` and `outlier_values`.

    Attributes:
        width: bits of a code, 2 to 8.
        group: weights in a row that share a scale.
        share: most outliers, in per cent of the weights; their room counts whether it is used or not.
    """

    width: int
    group: int = DEFAULT_GROUP
    share: float = DEFAULT_SHARE

    family: ClassVar[str] = "spqr"
    pattern: ClassVar[str] = "spqr-3b (groups of 16, 1% outliers), spqr-4b-g32-o0.5"

    @classmethod
    def parse(cls, label: str) -> SpqrFormat | None:
        """See `Format.parse`."""
        match = _LABEL.match(label)
        if match is None:
            return None
        width, group, share = match.groups()
        found = cls(int(width), int(group or DEFAULT_GROUP), float(share or DEFAULT_SHARE))
        if not 2 <= found.width <= 8 or found.group < 2 or found.share > 100:
            raise ConfigurationError(
                f"the format {label!r}: codes have 2 to 8 bits, groups at least 2 weights, outliers are at most 100%"
            )
        return found

    @property
    def label(self) -> str:
        """See `Format.label`."""
        group = "" if self.group == DEFAULT_GROUP else f"-g{self.group}"
        share = "" if self.share == DEFAULT_SHARE else f"-o{self.share:g}"
        return f"spqr-{self.width}b{group}{share}"

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        return super().misfit(shape) or group_misfit(shape, self.group)

    def most_outliers(self, shape: tuple[int, ...]) -> int:
        """How many outliers there is room for."""
        return math.floor(shape[0] * shape[1] * self.share / 100)

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: with the room for all outliers that there may be, used or not."""
        rows, columns = shape
        groups = columns // self.group
        codes = math.ceil(rows * columns * self.width / 8)
        scales = 2 * math.ceil(rows * groups * WIDTH / 8) + 4 * 2 * math.ceil(rows / ROWS) * groups
        place = 2 if columns <= 1 << 16 else 4
        most = self.most_outliers(shape)
        return codes + scales + (most * (2 + place) + 4 * (rows + 1) if most else 0)

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> SpqrGrid:
        """See `Format.fit`; there is no search but `minmax`, from the smallest to the largest weight of each group, and
        0."""
        misfit = self.misfit(tuple(weight.shape))
        if misfit is not None:
            raise ConfigurationError(f"a matrix of shape {list(weight.shape)} cannot be {self.label}: {misfit}")
        if search != "minmax":
            raise ConfigurationError(f"{self.label} has no search {search!r}; leave it at 'minmax'")
        low, high = grouped(weight, self.group).aminmax(dim=-1)
        low, high = low.clamp_max(0), high.clamp_min(0)
        scale = (high - low) / (2**self.width - 1)
        parts = second_level("scale", torch.where(scale > 0, scale, 1), dtype)
        rounded = SpqrGrid.number("scale", parts)
        parts |= second_level("zero", (-low / rounded).clamp_(0, 2**self.width - 1), dtype)
        return SpqrGrid(parts, self.group, self.width)

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`: in float32, rounded to `dtype` at the end."""
        parts = dict(tensor.parts)
        values = SpqrGrid(parts, self.group, self.width).values(tensor.codes).to(dtype)
        if "outlier_values" in parts:
            offsets = parts["outlier_offsets"]
            rows = torch.repeat_interleave(torch.arange(len(offsets) - 1, device=offsets.device), offsets.diff())
            values[rows, parts["outlier_columns"].long()] = parts["outlier_values"].to(dtype)
        return values


def sparse_parts(
    rows: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, count: int
) -> dict[str, torch.Tensor]:
    """The parts that hold outliers.

    Args:
        rows, columns, values: of each, in any order.
        count: rows of the matrix.
    """
    order = (rows * (int(columns.max()) + 1 if len(columns) else 1) + columns).argsort()
    offsets = torch.zeros(count + 1, dtype=torch.int32, device=rows.device)
    offsets[1:] = torch.bincount(rows, minlength=count).cumsum(0)
    return {
        "outlier_offsets": offsets,
        "outlier_columns": columns[order].to(torch.int32),
        "outlier_values": values[order].to(torch.bfloat16),
    }
