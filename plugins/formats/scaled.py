"""Formats whose values are a few numbers times a scale for each group, channel or tensor."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.contracts import Format, Grid
from ...core.errors import ConfigurationError, did_you_mean
from ...core.quantized_tensor import QuantizedTensor
from .elements import Elements
from .groups import aligned, group_count, group_misfit, grouped, grouped_columns, stored
from .min_max import nonzero
from .shrinking import chunks, relative

SEARCHES = ("minmax", "mse")


class ScaledGrid(Grid):
    """Numbers times `parts["scale"]`. Division is in float32, whatever the scale's dtype."""

    def __init__(self, scale: torch.Tensor, elements: Elements, group: int) -> None:
        self.parts = {"scale": scale}
        self.elements, self.group = elements, group
        self._wide = scale.float()

    def round(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.round`."""
        seen, (scale,) = aligned(values, [self._wide], self.group, first)
        return self.elements.round(seen / scale).reshape(values.shape)

    def values(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """See `Grid.values`."""
        seen, (scale,) = aligned(codes, [self._wide], self.group, first)
        return self.elements.values(seen).mul_(scale).reshape(codes.shape)


@dataclass(frozen=True, eq=False, repr=False)
class ScaledFormat(Format):
    """w = scale * number. One part, `scale`, in the model's dtype: shape (out, groups), (out, 1) or (1,).

    Attributes:
        group: weights in a row that share a scale; 0: a row; -1: the matrix.
    """

    group: int

    searches: ClassVar[tuple[str, ...]] = SEARCHES

    @property
    @abstractmethod
    def elements(self) -> Elements:
        """The numbers."""

    @abstractmethod
    def scale(self, weight: torch.Tensor, importance: torch.Tensor, search: str, dtype: torch.dtype) -> torch.Tensor:
        """A scale for each group, in `dtype`; zero for a group of zeros.

        Args:
            weight: float32, shape (rows, groups, size).
            importance: broadcasts against it.
        """

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        return super().misfit(shape) or group_misfit(shape, self.group)

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: rows of whole bytes, scales of 2 bytes."""
        return shape[0] * math.ceil(shape[1] * self.elements.bits / 8) + 2 * group_count(shape, self.group)

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`."""
        misfit = self.misfit(tuple(weight.shape))
        if misfit is not None:
            raise ConfigurationError(f"a matrix of shape {list(weight.shape)} cannot be {self.label}: {misfit}")
        if search not in self.searches:
            raise ConfigurationError(f"{self.label} has no search {search!r}. {did_you_mean(search, self.searches)}")
        groups = grouped(weight, self.group)
        counts = grouped_columns(relative(importance, weight.shape[1], weight.device), self.group, weight.shape[0])
        scale = torch.cat([self.scale(groups[rows], counts, search, dtype) for rows in chunks(groups)])
        return ScaledGrid(stored(nonzero(scale), self.group), self.elements, self.group)

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`: number * scale, in `dtype`."""
        scale = tensor.parts["scale"].to(dtype)
        seen, (scale,) = aligned(tensor.codes, [scale], self.group, 0)
        return self.elements.values(seen, dtype).mul_(scale).reshape(tensor.shape)
