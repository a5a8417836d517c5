"""What goes into merges: tensors by what plans call them, and what is kept of them from one candidate to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import torch

from ..checkpoints import Checkpoint
from ..contracts.merge_method import MergeMethod
from ..plan import MergeStep, Operand
from ..quantization.activations import LinearArithmetic
from .streaming import placed
from .tensor_store import TensorStore
from .tensors import ChangedTensor, Tensor


class Operands:
    """Reads what plans name.

    Attributes:
        arithmetic: of layers whose weights were quantised, by the weight's name; see `Quantizer.arithmetic`.

    Args:
        sources: the open checkpoints.
        keep: whether tensors (those of files are mapped, not copied) and what methods prepared from them are kept for
            the next candidate.
        device: where they are computed with.
        store: where quantised tensors are looked for, and kept.
    """

    def __init__(
        self,
        sources: Mapping[str, Checkpoint],
        keep: bool = False,
        device: torch.device | str = "cpu",
        store: TensorStore | None = None,
    ) -> None:
        self.sources = sources
        self.arithmetic: dict[str, LinearArithmetic | None] = {}
        self.store = store
        self._device = torch.device(device)
        self._tensors: dict[tuple[Checkpoint, str], Tensor] | None = {} if keep else None
        self._prepared: dict[Any, Any] | None = {} if keep else None

    def __getitem__(self, operand: Operand) -> Tensor:
        """The tensor that `operand` names. Raises CheckpointError if it cannot be read."""
        return self._at(self.sources[operand.checkpoint], operand.tensor)

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

    def _at(self, checkpoint: Checkpoint, name: str) -> Tensor:
        if self._tensors is None:
            return self._open(checkpoint, name)
        if (checkpoint, name) not in self._tensors:
            self._tensors[checkpoint, name] = self._open(checkpoint, name)
        return self._tensors[checkpoint, name]

    def _open(self, checkpoint: Checkpoint, name: str) -> Tensor:
        change = checkpoint.low_rank_change(name)
        if change is None:
            return placed(checkpoint.read(name), self._device)
        return ChangedTensor(self._at(change.base, name), change.to(self._device))


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
