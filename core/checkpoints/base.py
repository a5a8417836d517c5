"""What every checkpoint offers: the tensors' shapes without reading a weight, and one tensor at a time."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from math import prod
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError


@dataclass(frozen=True)
class TensorInfo:
    """Shape and dtype of a stored tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes when stored plainly."""
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True)
class LowRankChange:
    """What an adapter does to a matrix W: W + scale * up @ down.

    Attributes:
        base: the checkpoint that holds W, under the same name.
        up: float32, shape (rows, rank).
        down: float32, shape (rank, columns).
    """

    base: Checkpoint
    up: torch.Tensor
    down: torch.Tensor
    scale: float

    def added_to(self, rows: torch.Tensor, start: int = 0) -> torch.Tensor:
        """A float32 copy of W's rows from `start` on, with the change added."""
        up = self.up[start : start + rows.shape[0]]
        return rows.to(torch.float32, copy=True).addmm_(up, self.down, alpha=self.scale)

    def to(self, device: torch.device) -> LowRankChange:
        """The same on a device."""
        return replace(self, up=self.up.to(device), down=self.down.to(device))


class Checkpoint(ABC):
    """Weights, config and tokenizer on disk.

    Attributes:
        reference: how the user named it.
        directory: the folder with config and tokenizer files.
        tensors: shape and dtype of every tensor, by name; nothing is read for it but headers.
    """

    reference: str
    directory: Path
    tensors: Mapping[str, TensorInfo]

    @abstractmethod
    def read(self, name: str) -> torch.Tensor:
        """The tensor, on the CPU. It may share memory with the file: do not write into it.

        Raises:
            CheckpointError: there is no such tensor, or the file is damaged.
        """

    def shares(self, name: str, other: Checkpoint) -> bool:
        """Whether the tensor called `name` is known to be `other`'s own, without reading it."""
        return self is other

    def stored_dtype(self, name: str) -> torch.dtype:
        """The dtype that the model stores the tensor in, whatever `read` gives it in."""
        return self.tensors[name].dtype

    def low_rank_change(self, name: str) -> LowRankChange | None:
        """How the tensor is made from another checkpoint's, if it is a low-rank change of that; None otherwise."""
        return None

    def is_mapped(self, name: str) -> bool:
        """Whether `read` gives a part of a file that is mapped into memory, not a tensor made for the occasion."""
        return True

    def release(self) -> None:  # noqa: B027  (most map nothing)
        """Gives back what of the files is mapped into memory, as soon as the tensors that were read are gone."""

    @abstractmethod
    def weight_files(self) -> tuple[Path, ...]:
        """The files that the weights come from."""

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's config.json.

        Raises:
            CheckpointError: it is missing or not JSON.
        """
        return read_json(self.directory / "config.json")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the config and the weight files' contents: two checkpoints with the same one are the same."""
        digest = hashlib.sha256()
        for path in [self.directory / "config.json", *self.weight_files()]:
            digest.update(path.name.encode())
            digest.update(file_sha256(path).encode())
        return digest.hexdigest()


def promoted(dtypes: Iterable[torch.dtype]) -> torch.dtype:
    """The narrowest dtype that holds values of all these; float8, which nothing is computed in, counts as bfloat16."""
    wide = (torch.bfloat16 if dtype.is_floating_point and dtype.itemsize == 1 else dtype for dtype in dtypes)
    return reduce(torch.promote_types, wide)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's contents, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: the file is missing, unreadable or holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; a checkpoint folder needs a {path.name}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return content


def listed(names: Iterable[str], at_most: int = 5) -> str:
    """The first few names, for an error message."""
    all_names = list(names)
    shown = ", ".join(all_names[:at_most])
    return shown if len(all_names) <= at_most else f"{shown} and {len(all_names) - at_most} more"
