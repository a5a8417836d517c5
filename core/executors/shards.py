"""The safetensors files of a planned model: what goes into which, and how large they are, without a weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..checkpoints.base import TensorInfo
from ..plan import Plan, TensorPlan
from .encoding import Encoding
from .safetensors_writer import entry_bytes, header

DEFAULT_SHARD_BYTES = 5_000_000_000
_HEADER_BESIDES_TENSORS = 64
"""No less than a header's length, metadata and padding."""
_LARGEST_GROWTH = 16
"""No format's tensors are larger than this many times the weight: bounds the number of files."""


class Shard:
    """One file.

    Attributes:
        tensors: planned ones, in order.
        layout: of what is stored, in order.
    """

    def __init__(self) -> None:
        self.tensors: list[TensorPlan] = []
        self.layout: list[tuple[str, TensorInfo]] = []

    @property
    def payload(self) -> int:
        """Bytes of the tensors alone."""
        return sum(info.nbytes for _, info in self.layout)

    @property
    def nbytes(self) -> int:
        """Bytes of the file."""
        return len(header(self.layout)) + self.payload


def shards(plan: Plan, encoding: Encoding, shard_bytes: int = DEFAULT_SHARD_BYTES) -> list[Shard]:
    """The plan's tensors in files; one is closed before its tensors would grow beyond `shard_bytes`."""
    found = [Shard()]
    filled = 0
    for tensor in plan.tensors:
        layout = encoding.layout(tensor)
        size = sum(info.nbytes for _, info in layout)
        if found[-1].tensors and filled + size > shard_bytes:
            found.append(Shard())
            filled = 0
        found[-1].tensors.append(tensor)
        found[-1].layout.extend(layout)
        filled += size
    return found


def shard_name(number: int, count: int) -> str:
    """The name of file `number`, counted from 1."""
    return "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def shard_index(files: Sequence[Shard]) -> dict[str, Any]:
    """Content of `model.safetensors.index.json`."""
    return {
        "metadata": {"total_size": sum(shard.payload for shard in files)},
        "weight_map": {
            name: shard_name(number, len(files)) for number, shard in enumerate(files, 1) for name, _ in shard.layout
        },
    }


def file_bytes(plan: Plan, encoding: Encoding, shard_bytes: int = DEFAULT_SHARD_BYTES) -> int:
    """Exact bytes of all weight files, headers and all."""
    return sum(shard.nbytes for shard in shards(plan, encoding, shard_bytes))


def most_tensor_bytes(layout: Iterable[tuple[str, TensorInfo]]) -> int:
    """No less than what these tensors add to a file: their bytes, and their entries in its header."""
    return sum(info.nbytes + entry_bytes(name, info) for name, info in layout)


def most_file_bytes(plan: Plan, shard_bytes: int = DEFAULT_SHARD_BYTES) -> int:
    """No less than what the files have besides tensors and their entries, whatever the tensors' levels."""
    whole = sum(tensor.info.nbytes for tensor in plan.tensors)
    # Any two files that follow each other have more than `shard_bytes` together.
    count = min(len(plan.tensors), 1 + 2 * _LARGEST_GROWTH * whole // shard_bytes)
    return _HEADER_BESIDES_TENSORS * max(count, 1)
