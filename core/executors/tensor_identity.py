"""What a quantised tensor's values follow from, as a hash: contents instead of places, and the code that computes."""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .. import registry
from ..checkpoints import Checkpoint
from ..checkpoints.base import file_sha256
from ..checkpoints.statistics import StatisticsFile
from ..genome import content_hash
from ..plan import MergeStep, Operand, TensorPlan

_ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = ("torch", "numpy", "numba")


class TensorIdentity:
    """Hashes planned tensors; what is known of a checkpoint's contents is kept."""

    def __init__(self) -> None:
        self._contents: dict[Checkpoint, str] = {}
        self._lock = threading.Lock()

    def of(self, tensor: TensorPlan, sources: Mapping[str, Checkpoint], device: torch.device) -> str:
        """SHA-256 of everything that a quantised tensor's values follow from, wherever its checkpoints lie.

        Args:
            sources: the open checkpoints that the plan names.
            device: where it is computed.
        """
        step = tensor.quantize
        assert step is not None

        def place(operand: Operand) -> tuple[str, str]:
            return self._content(sources[operand.checkpoint]), operand.tensor

        def merged(merge: MergeStep) -> dict[str, Any]:
            return {
                "method": merge.method,
                "base": None if merge.base is None else place(merge.base),
                "sources": [place(operand) for operand in merge.sources],
                "statistics": [place(operand) for operand in merge.statistics],
                "per_source": {name: list(values) for name, values in merge.per_source.items()},
                "shared": dict(merge.shared),
                "dtype": str(merge.dtype),
                "seed": merge.seed,
            }

        plugins = [type(step.level.plugin), type(step.level.format)]
        gain = None if tensor.rotate is None else tensor.rotate.gain
        learned = None if tensor.rotate is None else tensor.rotate.learned
        merges = (*tensor.steps, *(() if gain is None else gain.steps))
        plugins += [registry.load("merge_methods", merge.method) for merge in merges]
        return content_hash(
            {
                "merges": [merged(merge) for merge in merges],
                "rotate": None if tensor.rotate is None else tensor.rotate.own_content,
                "learned": None if learned is None else place(Operand(*learned)),
                "shape": list(tensor.info.shape),
                "dtype": str(tensor.info.dtype),
                "level": step.level.label,
                "options": dict(step.options),
                "calibration": [place(operand) for operand in step.calibration],
                "shares": list(step.shares),
                "code": [_own_code(), *(_code_of(plugin) for plugin in plugins)],
                "machine": [*_machine(device), torch.get_float32_matmul_precision()],
            }
        )

    def _content(self, checkpoint: Checkpoint) -> str:
        with self._lock:
            if checkpoint not in self._contents:
                content = checkpoint.fingerprint
                if isinstance(checkpoint, StatisticsFile):
                    # gathered again, on another device, they may be rounded otherwise
                    content = " ".join([content, *map(file_sha256, checkpoint.weight_files())])
                self._contents[checkpoint] = content
            return self._contents[checkpoint]


@cache
def _own_code() -> str:
    """Of all that merges and quantises here: while it is worked on, versions do not tell changes apart."""
    digest = hashlib.sha256()
    for room in ("core", "plugins"):
        for path in sorted((_ROOT / room).rglob("*.py")):
            digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _code_of(plugin: type) -> str:
    """A plugin's name, and its source, which may be anybody's; as much of it as Python can tell."""
    try:
        return f"{plugin.__module__}.{plugin.__qualname__} {content_hash(inspect.getsource(inspect.getmodule(plugin)))}"  # type: ignore[arg-type]
    except (OSError, TypeError):
        return f"{plugin.__module__}.{plugin.__qualname__}"


@cache
def _machine(device: torch.device) -> tuple[str, ...]:
    """What rounding depends on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return (device.type, name, *(f"{library} {version(library)}" for library in _LIBRARIES))
