"""The devices of this machine: what they are called, and how much memory evaluations may take of each."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass

import psutil

from ..core.errors import ConfigurationError

_SHARE = 0.8
"""Of the host's memory, for all workers on the CPU together; the rest is for everybody else."""


@dataclass(frozen=True)
class DevicePart:
    """A device, or the part of one that a worker gets.

    Attributes:
        name: for PyTorch: `cpu`, `cuda:0`...
        type: what it is sold as, so that prices and speeds can be compared.
        memory_bytes: what evaluations of this worker may take.
        cores: that its evaluating process stays on; None: any. Workers that share the CPU would else share its caches.
    """

    name: str
    type: str
    memory_bytes: int
    cores: tuple[int, ...] | None = None


def device_parts(wanted: str = "all", each: int = 1, cores: int | None = None) -> list[DevicePart]:
    """One entry for each worker that this machine is to have.

    Args:
        wanted: `all` (every accelerator, or else the CPU), or names, separated by commas.
        each: so many workers share a device: several small candidates at a time on a big one.
        cores: of each worker on the CPU; default: all there are, divided among such workers.

    Raises:
        ConfigurationError: there is no such device here, `each` is not positive, or there are not so many cores.
    """
    import torch

    if each < 1:
        raise ConfigurationError(f"{each} workers on a device: give at least one")
    accelerators = [f"cuda:{place}" for place in range(torch.cuda.device_count())]
    names = (accelerators or ["cpu"]) if wanted == "all" else [name.strip() for name in wanted.split(",")]
    on_cpu = sum(name == "cpu" for name in names) * each
    shares = iter(_core_shares(on_cpu, cores))
    parts = []
    for name in names:
        if name == "cpu":
            memory = int(psutil.virtual_memory().total * _SHARE) // on_cpu
            parts += [DevicePart(name, _processor(), memory, next(shares)) for _ in range(each)]
            continue
        try:
            properties = torch.cuda.get_device_properties(name)
        except (RuntimeError, AssertionError, ValueError) as error:
            usable = ", ".join([*accelerators, "cpu"])
            raise ConfigurationError(f"there is no device {name!r} here. Usable: {usable}, or all") from error
        parts += [DevicePart(name, properties.name, int(properties.total_memory) // each)] * each
    return parts


def _core_shares(workers: int, cores: int | None) -> list[tuple[int, ...] | None]:
    here = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if not here or (workers == 1 and cores is None):
        return [None] * workers
    size = cores or max(len(here) // max(workers, 1), 1)
    if cores is not None and not 0 < workers * cores <= len(here):
        raise ConfigurationError(f"{workers} workers with {cores} cores each: this machine has {len(here)} cores")
    return [tuple(here[(number * size + place) % len(here)] for place in range(size)) for number in range(workers)]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "cpu"


def devices_apart(wanted: str = "all", each: int = 1, cores: int | None = None) -> list[DevicePart]:
    """As `device_parts`, found out by another process: asking a device takes a second, and memory on it.

    Raises:
        ConfigurationError: as `device_parts`.
    """
    command = [sys.executable, "-m", __name__, json.dumps([wanted, each, cores])]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own program)
    if found.returncode:
        raise ConfigurationError(found.stderr.strip().splitlines()[-1] if found.stderr.strip() else "no device answers")
    parts = json.loads(found.stdout.splitlines()[-1])
    return [DevicePart(**{**part, "cores": part["cores"] and tuple(part["cores"])}) for part in parts]


def _print() -> int:
    try:
        print(json.dumps([asdict(part) for part in device_parts(*json.loads(sys.argv[1]))]))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(_print())
