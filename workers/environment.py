"""The environment of a result: what computed it, as far as its numbers may depend on it."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..core.named_plugins import distributions_of, named_plugins
from ..core.registry import distributions
from ..core.study_spec import StudySpec

_LIBRARIES = ("torch", "transformers", "numpy", "safetensors", "tokenizers", "numba", "scipy", "lm_eval")
_COMPUTING = ("core", "fitness", "plugins")
"""The rooms whose code has a say in what a candidate answers."""


def environment(spec: StudySpec, device: str) -> dict[str, Any]:
    """What computes a study's results in this process; JSON-ready, and the same for two runs of the same.

    Nothing in it is a time, a process or a host: those are noted with the evaluation and its worker.

    Args:
        device: as PyTorch calls it.

    Raises:
        PluginError: a plugin of the study is not installed.
        CheckpointError: the base cannot be opened, which says what models are built in.
    """
    recipe = spec.space.references()["base"]
    return {
        "code": {**distributions_of(spec), "heterosis_sha256": _code()},
        "plugins": {f"{kind}/{name}": _origin(kind, name) for kind, name in named_plugins(spec)},
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name)) is not None},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": _device(torch.device(device)),
        "dtype": {"arithmetic": recipe.dtype, "model": recipe.out_dtype},
        "settings": _settings(),
    }


def _origin(kind: str, name: str) -> str:
    found = distributions(kind, name)
    return ", ".join(f"{distribution} {number}" for distribution, number in found.items()) or "unknown"


@cache
def _code() -> str:
    """SHA-256 of the code that computes: between releases, the version alone does not say which it is."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for file in sorted(file for room in _COMPUTING for file in (root / room).rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _processor() -> dict[str, Any]:
    return {
        "name": _first_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def _device(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"type": device.type}
    properties = torch.cuda.get_device_properties(device)
    return {
        "type": "cuda",
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda or torch.version.hip,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "driver": _text("/sys/module/nvidia/version"),
    }


def _settings() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


def _first_value(file: str, key: str) -> str | None:
    lines = (_text(file) or "").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), None)


def _text(file: str) -> str | None:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
