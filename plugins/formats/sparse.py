"""Formats `sparse24` and `sparse24-int8`: of every four weights in a row, the two that matter most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ...core.contracts import Format, Grid
from ...core.errors import ConfigurationError, did_you_mean
from ...core.quantized_tensor import QuantizedTensor
from .groups import grouped
from .integer import IntegerFormat

_RUN, _KEPT = 4, 2
_SHAPE_BYTES = 16
_LABELS = {"sparse24": None, "sparse24-int8": IntegerFormat(8, group=0)}


def kept(weight: torch.Tensor, importance: torch.Tensor | None = None) -> torch.Tensor:
    """Which weights stay, a boolean for each: the two of four with the largest |w| sqrt(E[x^2]), the first of equals.

    Sun et al., A Simple and Effective Pruning Approach for Large Language Models (Wanda), 2023; without importance,
    those of the largest magnitude.

    Args:
        weight: float32, shape (out, in).
        importance: E[x^2], shape (in,).
    """
    scores = weight.abs() if importance is None else weight.abs() * importance.sqrt()
    runs = grouped(scores, _RUN)
    better = torch.zeros(runs.shape, dtype=torch.uint8)
    for one in range(_RUN):
        for other in range(one):
            wins = runs[..., one] > runs[..., other]
            better[..., other] += wins
            better[..., one] += ~wins
    return (better < _KEPT).flatten(1)


def bitmask(mask: torch.Tensor) -> torch.Tensor:
    """A bit for each weight, the first of eight the lowest: uint8, (out, in / 8), as compressed-tensors packs it."""
    return torch.from_numpy(np.packbits(mask.numpy(), axis=-1, bitorder="little"))


class SparseGrid(Grid):
    """The kept weights in bfloat16 or on another grid, the rest 0.

    Attributes:
        parts: `bitmask`, and those of the other grid.
    """

    def __init__(self, mask: torch.Tensor, inner: Grid | None) -> None:
        self.parts = {"bitmask": bitmask(mask)} | ({} if inner is None else inner.parts)
        self._mask, self._inner = mask, inner

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`."""
        values = values * self._mask[:, first : first + values.shape[1]]
        if self._inner is None:
            return (values + 0.0).bfloat16().view(torch.int16)
        return self._inner.round(values, first)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`."""
        return codes.view(torch.bfloat16).float() if self._inner is None else self._inner.values(codes, first)


@dataclass(frozen=True, eq=False, repr=False)
class SparseFormat(Format):
    """2:4 sparsity, which GPUs' sparse tensor cores run at twice the speed: Mishra et al., 2021.

    Codes are the int16 whose bits are the bfloat16 value, or int8; 0 for weights that are gone.

    Attributes:
        inner: what the kept weights are stored in; None: bfloat16.
    """

    inner: IntegerFormat | None = None

    family: ClassVar[str] = "sparse"
    pattern: ClassVar[str] = "sparse24 (2 of 4 weights, in bfloat16), sparse24-int8"

    @classmethod
    def parse(cls, label: str) -> SparseFormat | None:
        """See `Format.parse`."""
        if not label.startswith("sparse") or "-h" in label:
            return None
        if label not in _LABELS:
            raise ConfigurationError(f"there is no format {label!r}. {did_you_mean(label, _LABELS)}")
        return cls(_LABELS[label])

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return "sparse24" if self.inner is None else "sparse24-int8"

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        found = super().misfit(shape)
        if found is None and shape[1] % _RUN:
            return f"runs of {_RUN} do not divide its {shape[1]} columns"
        return found

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: as `sparse-24-bitmask` stores it: the kept values, a bit a weight, the shape; and the
        scales of rows."""
        rows, columns = shape
        values = rows * columns * _KEPT // _RUN
        width = 2 * values if self.inner is None else values + 2 * rows
        return width + rows * -(-columns // 8) + _SHAPE_BYTES

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`: which weights stay depends on the importance; the scales of the rest are searched."""
        misfit = self.misfit(tuple(weight.shape))
        if misfit is not None:
            raise ConfigurationError(f"a matrix of shape {list(weight.shape)} cannot be {self.label}: {misfit}")
        searches = IntegerFormat(8).searches
        if search not in searches:
            raise ConfigurationError(f"{self.label} has no search {search!r}. {did_you_mean(search, searches)}")
        mask = kept(weight, importance)
        inner = None if self.inner is None else self.inner.fit(weight * mask, importance, search, dtype)
        return SparseGrid(mask, inner)

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`."""
        if self.inner is None:
            return tensor.codes.view(torch.bfloat16).to(dtype)
        parts = {name: part for name, part in tensor.parts.items() if name != "bitmask"}
        return self.inner.dequantize(QuantizedTensor(self.inner, tensor.shape, tensor.codes, parts), dtype)
