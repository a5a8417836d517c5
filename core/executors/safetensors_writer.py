"""Writes one safetensors file tensor by tensor; the library's own writer needs all of them in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import torch

from ..checkpoints import TensorInfo
from ..checkpoints.safetensors import DTYPES

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_ALIGNMENT = 8
_FAR = 10**13
"""No offset has more digits."""


def header(tensors: Sequence[tuple[str, TensorInfo]]) -> bytes:
    """What comes before the tensors: the length of the rest (8 bytes, little-endian), then JSON padded with spaces."""
    content: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, info in tensors:
        content[name] = _entry(info, offset)
        offset += info.nbytes
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def entry_bytes(name: str, info: TensorInfo) -> int:
    """No less than what a tensor adds to the header, wherever in the file it stands."""
    return len(json.dumps({name: _entry(info, _FAR)}, separators=(",", ":"))) - 1


def _entry(info: TensorInfo, offset: int) -> dict[str, object]:
    return {
        "dtype": _NAMES[info.dtype],
        "shape": list(info.shape),
        "data_offsets": [offset, offset + info.nbytes],
    }


class SafetensorsWriter:
    """A safetensors file whose tensors are announced first and then written in that order.

    The tensors' bytes follow the header one after the other.
    """

    def __init__(self, path: Path, tensors: Sequence[tuple[str, TensorInfo]]) -> None:
        self._announced = list(tensors)
        self._file = path.open("wb")
        self._file.write(header(tensors))

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Writes the next announced tensor, which must be this one."""
        expected, info = self._announced.pop(0)
        assert (name, tuple(tensor.shape), tensor.dtype) == (expected, info.shape, info.dtype)
        plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        self._file.write(plain.numpy().data)

    def __enter__(self) -> SafetensorsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        assert error is not None or not self._announced
