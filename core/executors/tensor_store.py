"""Quantised tensors kept on disk for candidates to come: filled lazily, shared by the workers of a machine."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..checkpoints import Checkpoint
from ..checkpoints.open import cache_folder
from ..errors import ConfigurationError
from ..plan import TensorPlan
from ..quantization.budget import Budget
from .store_folder import StoreFolder
from .tensor_identity import TensorIdentity

_logger = logging.getLogger(__name__)

VARIABLE = "HETEROSIS_TENSOR_STORE"
DEFAULT_LIMIT = 4 << 30
_SIZE = re.compile(r"[\d.]+\s*[kKMG]?i?B?")
_WORTH = 3.0
"""How many times longer computing a tensor must take than reading it, for it to be kept."""
_SECONDS_PER_FILE = 1e-3
_SECONDS_PER_BYTE = 2e-9  # until reading has been measured


class TensorStore:
    """Keeps tensors under hashes of everything that they follow from.

    What comes out is what went in, bit for bit, or nothing: a file that is damaged or taken away meanwhile is not
    there. Nothing that goes wrong is an error; a disk that is full stops the filling.

    Args:
        folder: made when something is kept.
        limit: bytes for all files together; see `StoreFolder`.

    Attributes:
        found, missed, kept: how many tensors were read, not found and written.
    """

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT) -> None:
        self.found = self.missed = self.kept = 0
        self._folder = StoreFolder(folder, limit)
        self._identity = TensorIdentity()
        self._fills = True
        self._seconds_per_byte = _SECONDS_PER_BYTE
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls) -> TensorStore | None:
        """As HETEROSIS_TENSOR_STORE says: `off`, a size (`10GiB`), a folder, or `FOLDER,SIZE`; None if it is off.

        By default 4 GiB below the cache folder.

        Raises:
            ConfigurationError: the variable has another form.
        """
        said = os.environ.get(VARIABLE, "").strip()
        if said.lower() in ("off", "0"):
            return None
        place, _, size = said.rpartition(",") if "," in said else ("", "", said) if _is_size(said) else (said, "", "")
        if size and not _is_size(size):
            raise ConfigurationError(
                f"{VARIABLE} is {said!r}; give `off`, a size such as 10GiB, a folder, or FOLDER,SIZE"
            )
        folder = Path(place).expanduser() if place else cache_folder() / "tensors"
        return cls(folder, int(Budget.parse({"bytes": size}, VARIABLE).limit) if size else DEFAULT_LIMIT)

    def key(self, tensor: TensorPlan, sources: Mapping[str, Checkpoint], device: torch.device) -> str:
        """What a quantised tensor is kept under; see `TensorIdentity`."""
        return self._identity.of(tensor, sources, device)

    def read(self, key: str, target: torch.Tensor) -> bool:
        """Copies what is kept under `key` into `target`; False, and the target is as it was, if there is nothing."""
        started = time.perf_counter()
        found = self._sound(key, target)
        if found is None:
            self.missed += 1
            return False
        target.copy_(found)
        self._folder.touch(key)
        with self._lock:
            self.found += 1
            rate = (time.perf_counter() - started) / max(found.nbytes, 1)
            self._seconds_per_byte += (rate - self._seconds_per_byte) / 8
        return True

    def keep(self, key: str, tensor: torch.Tensor, seconds: float) -> None:
        """Keeps a tensor that took `seconds` to compute, if reading it is clearly faster."""
        if not self._fills or seconds < _WORTH * (_SECONDS_PER_FILE + tensor.nbytes * self._seconds_per_byte):
            return
        stored = tensor.detach().cpu().contiguous()
        metadata = {"crc32": str(_checksum(stored))}
        try:
            written = self._folder.write(
                key, stored.nbytes, lambda path: save_file({"tensor": stored}, path, metadata=metadata)
            )
            self.kept += written
        except (OSError, SafetensorError) as error:
            self._fills = False
            _logger.warning("the tensor store is no longer filled: %s", error)

    def _sound(self, key: str, target: torch.Tensor) -> torch.Tensor | None:
        path = self._folder.path(key)
        try:
            with safe_open(path, framework="pt") as file:
                tensor: torch.Tensor = file.get_tensor("tensor")
                if (file.metadata() or {}).get("crc32") == str(_checksum(tensor)) and _alike(tensor, target):
                    return tensor
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError):
            pass
        _logger.warning("%s is damaged; it is computed again", path)
        self._folder.remove(key)
        return None


def _is_size(text: str) -> bool:
    return bool(_SIZE.fullmatch(text.strip()))


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype


def _checksum(tensor: torch.Tensor) -> int:
    return zlib.crc32(tensor.view(-1).view(torch.uint8).numpy().data)
