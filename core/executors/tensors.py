"""A tensor that goes into a merge, read whole or by rows: stored, or made from a stored one by a low-rank change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch

from ..checkpoints import LowRankChange
from ..kernels import STORED, Array, array


class Tensor(ABC):
    """A tensor that is read as a whole or by rows (elements, if it has one dimension or none)."""

    @abstractmethod
    def whole(self) -> torch.Tensor:
        """All of it, as stored."""

    def fetch(self) -> None:  # noqa: B027  (most have nothing to do)
        """Begins to bring it to where it is computed with, if that takes time; `whole` waits for it."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> torch.Tensor:
        """A part, flattened."""

    def array(self, start: int, stop: int) -> Array:
        """A part for kernels."""
        return array(self.rows(start, stop))


@dataclass(frozen=True)
class StoredTensor(Tensor):
    """A tensor that lies in memory, or in a file mapped into it."""

    tensor: torch.Tensor

    def whole(self) -> torch.Tensor:
        """See `Tensor.whole`."""
        return self.tensor

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Tensor.rows`."""
        rows = self.tensor if self.tensor.dim() else self.tensor.view(1)
        return rows[start:stop].reshape(-1)

    def array(self, start: int, stop: int) -> Array:
        """See `Tensor.array`."""
        if self._array is None:
            return super().array(start, stop)
        columns = self._array.size // self.tensor.shape[0] if self.tensor.dim() else 1
        return self._array[start * columns : stop * columns]

    @cached_property
    def _array(self) -> Array | None:
        """All of it for kernels, made once if that is no copy."""
        shares = self.tensor.dtype in STORED and self.tensor.is_contiguous() and self.tensor.numel() > 0
        return array(self.tensor) if shares else None


@dataclass(frozen=True)
class ChangedTensor(Tensor):
    """A matrix with a low-rank change, which is added row by row: the dense one never exists unless asked for."""

    tensor: Tensor
    change: LowRankChange

    def whole(self) -> torch.Tensor:
        """See `Tensor.whole`."""
        return self.change.added_to(self.tensor.whole())

    def fetch(self) -> None:
        """See `Tensor.fetch`."""
        self.tensor.fetch()

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Tensor.rows`."""
        rows = self.tensor.rows(start, stop).view(stop - start, -1)
        return self.change.added_to(rows, start).view(-1)
