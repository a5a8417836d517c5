"""LoRA adapters (PEFT's format) as checkpoints: dense tensors made from the base on demand."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from .base import Checkpoint, LowRankChange, TensorInfo, listed, read_json
from .safetensors import UNSAFE_SUFFIXES, SafetensorsFile

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


class AdapterCheckpoint(Checkpoint):
    """A base with a low-rank change: W + scale * B A (Hu et al., 2021), scale = alpha / rank (or / sqrt(rank)).

    Changed tensors are float32, so that a change smaller than the base's rounding is kept until the end of a merge;
    the others are the base's own.

    Raises:
        CheckpointError: the folder is no LoRA adapter of this base, with every tensor that does not fit named, or
            uses something other than plain LoRA on linear layers.
    """

    def __init__(self, directory: Path, base: Checkpoint, reference: str | None = None) -> None:
        self.reference = reference or str(directory)
        self.directory = base.directory
        self.base = base
        self._folder = directory
        self._check_plain()
        self._alpha = _number(self.adapter_config.get("lora_alpha"), directory, "lora_alpha")
        self._alpha_pattern = _compiled(self.adapter_config.get("alpha_pattern") or {}, directory)
        self._file = _weights(directory)
        self._pairs, strangers = _pairs(self._file)
        if strangers:
            raise CheckpointError(f"{directory} changes more than LoRA matrices: {listed(strangers)}")
        self.tensors = dict(base.tensors)
        problems = [problem for name in self._pairs if (problem := self._misfit(name))]
        if problems:
            raise CheckpointError(f"{directory} does not fit {base.reference}: {listed(problems)}")
        for name in self._pairs:
            self.tensors[name] = TensorInfo(base.tensors[name].shape, torch.float32)

    @cached_property
    def adapter_config(self) -> dict[str, Any]:
        """PEFT's adapter_config.json."""
        return read_json(self._folder / CONFIG)

    def read(self, name: str) -> torch.Tensor:
        """The tensor with the adapter's change added, in float32; an untouched tensor is the base's."""
        weight = self.base.read(name)
        change = self.low_rank_change(name)
        return weight if change is None else change.added_to(weight)

    def low_rank_change(self, name: str) -> LowRankChange | None:
        """The adapter's matrices, or None if it leaves the tensor alone."""
        if name not in self._pairs:
            return None
        down, up = (self._file.read(stored).float() for stored in self._pairs[name])
        return LowRankChange(self.base, up, down, self._scale(name, down.shape[0]))

    def shares(self, name: str, other: Checkpoint) -> bool:
        """Whether the adapter leaves the tensor alone and `other` is its base, or the adapter itself."""
        return self is other or (name not in self._pairs and self.base.shares(name, other))

    def stored_dtype(self, name: str) -> torch.dtype:
        """The base's."""
        return self.base.stored_dtype(name)

    def is_mapped(self, name: str) -> bool:
        """Whether the base's is; a change is added to that row by row."""
        return name in self._pairs or self.base.is_mapped(name)

    def release(self) -> None:
        """See `Checkpoint.release`; the base is released on its own."""
        self._file.release()

    def weight_files(self) -> tuple[Path, ...]:
        """The base's files, then the adapter's weights and config (which holds the scale)."""
        return (*self.base.weight_files(), self._file.path, self._folder / CONFIG)

    def _scale(self, name: str, rank: int) -> float:
        module = name.removesuffix(".weight")
        alphas = (alpha for pattern, alpha in self._alpha_pattern if pattern.match(module))
        return next(alphas, self._alpha) / (rank**0.5 if self.adapter_config.get("use_rslora") else rank)

    def _check_plain(self) -> None:
        config = self.adapter_config
        if config.get("peft_type") != "LORA":
            raise CheckpointError(
                f"{self._folder} is an adapter of type {config.get('peft_type')!r}; only LORA is read"
            )
        special = {
            "use_dora": config.get("use_dora"),
            "modules_to_save": config.get("modules_to_save"),
            "fan_in_fan_out": config.get("fan_in_fan_out"),
            "bias": config.get("bias", "none") != "none",
        }
        used = [key for key, value in special.items() if value]
        if used:
            raise CheckpointError(
                f"{self._folder} uses {used[0]}, which is not read; merge it into its base with PEFT "
                "(`merge_and_unload`) and name the merged checkpoint instead"
            )

    def _misfit(self, name: str) -> str | None:
        down, up = (self._file.tensors[stored].shape for stored in self._pairs[name])
        if name not in self.base.tensors:
            return f"{name} is not in the base"
        shape = self.base.tensors[name].shape
        if len(down) != 2 or len(up) != 2 or down[0] != up[1] or (up[0], down[1]) != shape:
            return f"{name} is {list(shape)} in the base, but B is {list(up)} and A {list(down)}"
        return None


def _weights(directory: Path) -> SafetensorsFile:
    if not (directory / WEIGHTS).is_file():
        unsafe = [path.name for path in directory.glob("*") if path.suffix in UNSAFE_SUFFIXES]
        hint = f" ({unsafe[0]} can run code when read and is refused)" if unsafe else ""
        raise CheckpointError(f"{directory} has no {WEIGHTS}{hint}")
    return SafetensorsFile(directory / WEIGHTS)


def _pairs(file: SafetensorsFile) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """For each changed tensor, its stored A and B; and the stored tensors that are neither."""
    downs = {name.removesuffix(_A): name for name in file.tensors if name.endswith(_A)}
    ups = {name.removesuffix(_B): name for name in file.tensors if name.endswith(_B)}
    matched = downs.keys() & ups.keys()
    used = {downs[key] for key in matched} | {ups[key] for key in matched}
    pairs = {f"{key.removeprefix(_PREFIX)}.weight": (downs[key], ups[key]) for key in sorted(matched)}
    return pairs, sorted(file.tensors.keys() - used)


def _number(content: Any, directory: Path, key: str) -> float:
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise CheckpointError(f"{directory / CONFIG}: `{key}` must be a number, not {content!r}")
    return float(content)


def _compiled(content: Any, directory: Path) -> list[tuple[re.Pattern[str], float]]:
    """PEFT's `alpha_pattern`: a key is a regular expression for the end of a module's name; the first match counts."""
    if not isinstance(content, dict):
        raise CheckpointError(f"{directory / CONFIG}: `alpha_pattern` must give numbers by module, not {content!r}")
    try:
        return [
            (re.compile(rf"(.*\.)?({key})$"), _number(alpha, directory, f"alpha_pattern` of `{key}"))
            for key, alpha in content.items()
        ]
    except re.error as error:
        raise CheckpointError(f"{directory / CONFIG}: `alpha_pattern` is no regular expression: {error}") from error
