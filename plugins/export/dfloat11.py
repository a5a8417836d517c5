"""Exporter `dfloat11`: the model without loss in about 70% of its bytes, and how to read it back.

The idea is DFloat11's (see `lossless`), the layout our own: safetensors files that hold the parts of each bfloat16
tensor under its name and theirs, other tensors as they are, and `dfloat11.json`, which says what is where.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ...core.checkpoints import TensorInfo
from ...core.checkpoints.base import read_json
from ...core.contracts import Exporter
from ...core.errors import CheckpointError
from ...core.executors.compute import compute
from ...core.executors.disk import model_config, release, whole_folder, write_companions, write_json
from ...core.executors.one_by_one import tensors_of
from ...core.executors.operands import Operands
from ...core.executors.safetensors_writer import SafetensorsWriter
from ...core.plan import Plan
from .lossless import PARTS, packed, stored_bytes, unpacked

INDEX = "dfloat11.json"
_FILE_BYTES = 500_000_000


class Dfloat11Exporter(Exporter):
    """Compressed weights, config, tokenizer, recipe and model card; `read_dfloat11` gives the weights back."""

    name = "dfloat11"

    def write(self, plan: Plan, directory: Path) -> None:
        """Writes the folder; it appears under its name only when it is whole."""
        write_dfloat11(plan, directory)


def write_dfloat11(plan: Plan, directory: Path, file_bytes: int = _FILE_BYTES) -> None:
    """See `Dfloat11Exporter`. What goes into a file is in memory before it is written: little more than `file_bytes`.

    Raises:
        ConfigurationError: `directory` exists and is not an empty folder.
        StorageError: the disk is full, or refuses.
        MaterialiseError: a tensor is not finite.
    """
    operands = Operands(plan.sources)
    with whole_folder(directory) as partial:
        places: dict[str, str] = {}
        waiting: dict[str, torch.Tensor] = {}
        written = 0

        def flush() -> None:
            nonlocal written
            file = f"dfloat11-{len(set(places.values())) + 1:05d}.safetensors"
            layout = [(name, TensorInfo(tuple(part.shape), part.dtype)) for name, part in waiting.items()]
            with SafetensorsWriter(partial / file, layout) as writer:
                for name, part in waiting.items():
                    writer.write(name, part)
            places.update(dict.fromkeys(waiting, file))
            written += (partial / file).stat().st_size
            waiting.clear()

        for tensor in plan.tensors:
            parts = _stored(tensor.name, compute(tensor, operands))
            if waiting and _nbytes(waiting) + _nbytes(parts) > file_bytes:
                flush()
            waiting |= parts
            release(plan, tensor)
        flush()
        write_json(partial / INDEX, {"version": 1, "tensors": [one.name for one in plan.tensors], "files": places})
        write_json(partial / "config.json", model_config(plan))
        write_companions(plan, partial, directory.name, written)


def lossless_bytes(plan: Plan) -> int:
    """Bytes of the planned model's tensors, as `write_dfloat11` stores them: it is merged for it, but not written.

    Raises:
        MaterialiseError: a tensor is not finite.
    """
    return sum(map(stored_bytes, tensors_of(plan)))


def read_dfloat11(directory: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a written model, bit for bit, by name: what `load_state_dict` takes.

    >>> config = AutoConfig.from_pretrained(directory)                                # doctest: +SKIP
    >>> model = AutoModelForCausalLM.from_config(config, dtype=config.dtype)          # doctest: +SKIP
    >>> model.load_state_dict(read_dfloat11(directory), strict=False)                 # doctest: +SKIP

    Raises:
        CheckpointError: the folder holds no such model, or a part of one.
    """
    from safetensors import SafetensorError, safe_open

    index = read_json(directory / INDEX)
    found: dict[str, torch.Tensor] = {}
    try:
        stored: dict[str, torch.Tensor] = {}
        for file in sorted(set(index["files"].values())):
            with safe_open(directory / file, framework="pt") as opened:
                stored |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (no mapping)
        for name in index["tensors"]:
            if name in index["files"]:
                found[name] = stored[name]
            else:
                found[name] = unpacked({part: stored.pop(f"{name}.{part}") for part in PARTS})
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{directory} is damaged ({error}); export the model again") from error
    return found


def _stored(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    if tensor.dtype != torch.bfloat16:
        return {name: tensor}
    return {f"{name}.{part}": value for part, value in packed(tensor).items()}


def _nbytes(tensors: dict[str, torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())
