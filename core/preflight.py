"""What a study will need, told before it begins: memory, disk and time for a merge."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from .checkpoints import Checkpoint
from .executors import costs
from .merge_probe import MergeNeeds, copy_bandwidth, merge_needs
from .merge_space import METHOD_GENE
from .mixture import remarks
from .plan import Plan, plan
from .space import Space

_SHARE = 0.6


@dataclass(frozen=True)
class Needs:
    """What a study needs, and what there is; all sizes in bytes.

    Attributes:
        model: the resident model.
        unpacked: sources that are kept in memory because they are not mapped as they are (float8).
        mapped: files of the sources; what of them does not stay in memory is read again.
        export: the largest model to be written.
        available, free: memory that programs may still take (None if the system does not tell); room on the disk.
        merges: by method.
        copy_bandwidth: bytes per second, read and written, of copying memory.
        remarks: what is unusual about the sources, and what becomes of it.
    """

    model: int
    unpacked: int
    mapped: int
    export: int
    available: int | None
    free: int
    merges: Mapping[str, MergeNeeds]
    copy_bandwidth: float
    remarks: tuple[str, ...]

    @property
    def memory(self) -> int:
        """What must fit into memory beside the program itself."""
        return self.model + self.unpacked + max(merge.prepared for merge in self.merges.values())

    @property
    def shortages(self) -> list[str]:
        """`memory` or `disk`, where there is less than is needed."""
        short = [] if self.available is None or self.memory <= self.available else ["memory"]
        return short + ([] if self.export <= self.free else ["disk"])


def needs(space: Space, folder: Path, device: torch.device | str = "cpu") -> Needs:
    """Measures for a second or so what a study over `space`, writing its model under `folder`, will need.

    Raises:
        CheckpointError: a checkpoint is damaged, or does not fit the others.
    """
    plans = {method: _middle(space, number) for number, method in enumerate(space.merge.methods)}
    largest = max(costs(planned).bytes for planned in plans.values())
    checkpoints = [space.checkpoints[reference] for reference in (space.base, *space.labelled.values())]
    return Needs(
        model=largest,
        unpacked=sum(_unpacked(checkpoint) for checkpoint in checkpoints),
        mapped=sum(path.stat().st_size for path in {path for one in checkpoints for path in one.weight_files()}),
        export=largest,
        available=available_memory(device),
        free=shutil.disk_usage(next(place for place in (folder, *folder.absolute().parents) if place.exists())).free,
        merges={method: merge_needs(planned, device) for method, planned in plans.items()},
        copy_bandwidth=copy_bandwidth(device),
        remarks=tuple(remarks(space, next(iter(plans.values())))),
    )


def available_memory(device: torch.device | str = "cpu") -> int | None:
    """Bytes that programs may still take, the file cache included; None if the system does not tell."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _middle(space: Space, method: int) -> Plan:
    """The plan of a candidate with this method, other genes beside the middle of their ranges: there sums may be 0."""
    low, high = space.genes.bounds()
    point = low + _SHARE * (high - low)
    for number, gene in enumerate(space.genes):
        if gene.name == METHOD_GENE:
            point[number] = method + 0.5
    return plan(space.decode(space.genes.decode(point)), space.checkpoints)


def _unpacked(checkpoint: Checkpoint) -> int:
    return sum(info.nbytes for name, info in checkpoint.tensors.items() if not checkpoint.is_mapped(name))
