"""The tensors that go into merges, whole or by rows; and what is kept of them between one candidate and the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch

from ..checkpoints import Checkpoint, LowRankChange
from ..contracts.merge_method import MergeMethod
from ..plan import MergeStep, Operand


class Tensor(ABC):
    """A tensor that is read as a whole or by rows (elements, if it has one dimension or none)."""

    @abstractmethod
    def whole(self) -> torch.Tensor:
        """All of it, as stored."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> torch.Tensor:
        """A part, flattened."""


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


@dataclass(frozen=True)
class ChangedTensor(Tensor):
    """A tensor with a low-rank change, which is added row by row: the dense one never exists unless asked for."""

    tensor: torch.Tensor
    change: LowRankChange

    def whole(self) -> torch.Tensor:
        """See `Tensor.whole`."""
        return self.change.added_to(self.tensor)

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """See `Tensor.rows`."""
        return self.change.added_to(self.tensor[start:stop], start).view(-1)


class Operands:
    """Reads what plans name.

    Args:
        sources: the open checkpoints.
        keep: whether tensors (those of files are mapped, not copied) and what methods prepared from them are kept for
            the next candidate.
    """

    def __init__(self, sources: Mapping[str, Checkpoint], keep: bool = False) -> None:
        self.sources = sources
        self._tensors: dict[Operand, Tensor] | None = {} if keep else None
        self._prepared: dict[Any, Any] | None = {} if keep else None

    def __getitem__(self, operand: Operand) -> Tensor:
        """The tensor that `operand` names. Raises CheckpointError if it cannot be read."""
        if self._tensors is None:
            return self._open(operand)
        if operand not in self._tensors:
            self._tensors[operand] = self._open(operand)
        return self._tensors[operand]

    def prepared(self, method: MergeMethod, step: MergeStep) -> Any:
        """What the method knows of the step's tensors once and for all; None if nothing is kept."""
        prepare = type(method).prepare
        if self._prepared is None or prepare is MergeMethod.prepare:
            return None
        key = prepare, step.base, step.sources, step.dtype
        if key not in self._prepared:
            self._prepared[key] = method.prepare(*self.of(step))
        return self._prepared[key]

    def of(self, step: MergeStep) -> tuple[torch.Tensor | None, Sequence[torch.Tensor]]:
        """The step's base and sources as whole tensors; sources are made when they are looked at.

        They have the dtype of the arithmetic, or are stored in one that is a part of it.
        """
        base = None if step.base is None else _within(self[step.base].whole(), step.dtype)
        return base, _Whole([self[operand] for operand in step.sources], step.dtype)

    def _open(self, operand: Operand) -> Tensor:
        checkpoint = self.sources[operand.checkpoint]
        change = checkpoint.low_rank_change(operand.tensor)
        if change is None:
            return StoredTensor(checkpoint.read(operand.tensor))
        return ChangedTensor(change.base.read(operand.tensor), change)


class _Whole(Sequence[torch.Tensor]):
    def __init__(self, tensors: Sequence[Tensor], dtype: torch.dtype) -> None:
        self._tensors = tensors
        self._dtype = dtype

    def __len__(self) -> int:
        return len(self._tensors)

    @overload
    def __getitem__(self, index: int) -> torch.Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> list[torch.Tensor]: ...

    def __getitem__(self, index: int | slice) -> torch.Tensor | list[torch.Tensor]:
        if isinstance(index, slice):
            return [_within(tensor.whole(), self._dtype) for tensor in self._tensors[index]]
        return _within(self._tensors[index].whole(), self._dtype)


def _within(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    stored = tensor.dtype
    return tensor if stored == dtype or torch.promote_types(stored, dtype) == dtype else tensor.to(dtype)
