"""Checkpoints stored as safetensors: one file, or several with an index; memory-mapped."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError
from .base import Checkpoint, TensorInfo, read_json
from .float8 import DEQUANTISED, QUANTIZED, Float8Scales, is_float8

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
UNSAFE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class SafetensorsFile:
    """One safetensors file, mapped into memory.

    Raises:
        CheckpointError: the file is missing, truncated or malformed, or holds a dtype that is not supported.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: Any = None
        file = self._file
        self.tensors = {name: self._info(file, name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        self.metadata: dict[str, str] = file.metadata() or {}

    @property
    def _file(self) -> Any:
        if self._opened is None:
            try:
                self._opened = safe_open(self.path, framework="pt").__enter__()  # type: ignore[no-untyped-call]
            except FileNotFoundError:
                raise CheckpointError(f"{self.path} is missing") from None
            except (SafetensorError, OSError) as error:
                raise CheckpointError(
                    f"{self.path} is truncated or damaged ({error}); fetch or export it again"
                ) from error
        return self._opened

    def release(self) -> None:
        """Gives back the memory that the file is mapped into, when its tensors are gone; it is opened again to read."""
        self._opened = None

    def _info(self, file: Any, name: str) -> TensorInfo:
        stored = file.get_slice(name)
        dtype = stored.get_dtype()
        if dtype not in DTYPES:
            raise CheckpointError(f"{self.path}: {name} has dtype {dtype}, which is not supported")
        return TensorInfo(tuple(stored.get_shape()), DTYPES[dtype])

    def read(self, name: str) -> torch.Tensor:
        """The tensor called `name`, which must be one of `tensors`."""
        try:
            tensor: torch.Tensor = self._file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.path}: {name} cannot be read: {error}") from error
        return tensor


class SafetensorsCheckpoint(Checkpoint):
    """A Hugging Face folder with `model.safetensors`, or with shards and `model.safetensors.index.json`.

    Raises:
        CheckpointError: there are no safetensors here (pickled weights are refused), a shard is missing or damaged,
            or the index names a tensor that its shard does not hold.
    """

    def __init__(self, directory: Path, reference: str | None = None) -> None:
        self.reference = reference or str(directory)
        self.directory = directory
        paths = _weight_paths(directory)
        self._files = [SafetensorsFile(path) for path in paths]
        self._holder = {name: file for file in self._files for name in file.tensors}
        stored = {name: file.tensors[name] for name, file in self._holder.items()}
        _check_index(directory, self._holder)
        self._scales = Float8Scales(directory, stored, self._stored_config)
        self.tensors = {
            name: TensorInfo(info.shape, DEQUANTISED) if is_float8(info.dtype) else info
            for name, info in stored.items()
            if name not in self._scales.unused
        }

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's config.json, without what says that it is quantised: `read` gives plain weights."""
        return {key: value for key, value in super().config.items() if key != QUANTIZED}

    def read(self, name: str) -> torch.Tensor:
        """The tensor called `name`, memory-mapped; float8 as bfloat16, multiplied by its scales if it has some."""
        if name not in self.tensors:
            raise CheckpointError(f"{self.reference} has no tensor {name!r}")
        tensor = self._holder[name].read(name)
        if not is_float8(tensor.dtype):
            return tensor
        scale = self._scales.of.get(name)
        if scale is None:
            return tensor.to(DEQUANTISED)
        return self._scales.dequantised(tensor, self._holder[scale].read(scale))

    def is_mapped(self, name: str) -> bool:
        """Whether it is not float8."""
        return not is_float8(self._holder[name].tensors[name].dtype)

    @property
    def _stored_config(self) -> dict[str, Any]:
        path = self.directory / "config.json"
        return read_json(path) if path.is_file() else {}

    def release(self) -> None:
        """See `Checkpoint.release`."""
        for file in self._files:
            file.release()

    def weight_files(self) -> tuple[Path, ...]:
        """The safetensors files."""
        return tuple(file.path for file in self._files)


def _weight_paths(directory: Path) -> list[Path]:
    if (directory / SINGLE).is_file():
        return [directory / SINGLE]
    if (directory / INDEX).is_file():
        shards = sorted(set(_weight_map(directory).values()))
        strangers = [shard for shard in shards if Path(shard).name != shard]
        if strangers:
            raise CheckpointError(f"{directory / INDEX} points outside its folder: {strangers[0]!r}")
        missing = [shard for shard in shards if not (directory / shard).is_file()]
        if missing:
            raise CheckpointError(f"{directory} lacks {len(missing)} of its {len(shards)} shards, first {missing[0]!r}")
        return [directory / shard for shard in shards]
    unsafe = sorted(path.name for path in directory.glob("*") if path.suffix in UNSAFE_SUFFIXES)
    if unsafe:
        raise CheckpointError(
            f"{directory} holds its weights as {unsafe[0]!r}: such files can run code when read, so only safetensors "
            "and GGUF are. Convert it with transformers (`save_pretrained`) where you trust it"
        )
    raise CheckpointError(f"{directory} has neither {SINGLE} nor {INDEX}")


def _weight_map(directory: Path) -> dict[str, str]:
    content = read_json(directory / INDEX).get("weight_map")
    if not isinstance(content, dict) or not content or not all(isinstance(shard, str) for shard in content.values()):
        raise CheckpointError(f"{directory / INDEX} names no shards in its `weight_map`; fetch it again")
    return content


def _check_index(directory: Path, holder: dict[str, SafetensorsFile]) -> None:
    if (directory / SINGLE).is_file():
        return
    for name, shard in _weight_map(directory).items():
        if name not in holder or holder[name].path.name != shard:
            raise CheckpointError(f"{directory / INDEX} says that {shard} holds {name!r}, but it does not")
