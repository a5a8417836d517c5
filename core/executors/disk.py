"""The disk executor: streams a plan, tensor by tensor, into a Hugging Face folder."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..errors import ConfigurationError, StorageError
from ..plan import Plan, TensorPlan
from .encoding import Encoding
from .model_card import model_card
from .operands import Operands
from .safetensors_writer import SafetensorsWriter
from .shards import DEFAULT_SHARD_BYTES, shard_index, shard_name, shards
from .tokenizer import write_tokenizer


def write_model(
    plan: Plan,
    directory: Path,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    progress: Callable[[int, int], None] = lambda _done, _whole: None,
    encoding: Encoding | None = None,
) -> None:
    """Writes weights, config, tokenizer, `recipe.yaml` and a model card; peak memory is a few tensors.

    Everything is written under a temporary name beside `directory`, which appears only when it is whole.

    Args:
        shard_bytes: a shard is closed before it would grow beyond this.
        progress: called with tensors written and tensors in all.
        encoding: how tensors are stored; the default is as transformers has them.

    Raises:
        ConfigurationError: `directory` exists and is not an empty folder.
        StorageError: the disk is full, or refuses.
        MaterialiseError: a tensor is not finite.
    """
    encoding = encoding or Encoding()
    with whole_folder(directory) as partial:
        files = shards(plan, encoding, shard_bytes)
        operands = Operands(plan.sources)
        done = 0
        for number, shard in enumerate(files, start=1):
            with SafetensorsWriter(partial / shard_name(number, len(files)), shard.layout) as file:
                for tensor in shard.tensors:
                    for (name, _), part in zip(encoding.layout(tensor), encoding.encode(tensor, operands), strict=True):
                        file.write(name, part)
                    release(plan, tensor)
                    done += 1
                    progress(done, len(plan.tensors))
        if len(files) > 1:
            write_json(partial / "model.safetensors.index.json", shard_index(files))
        write_json(partial / "config.json", {**model_config(plan), **encoding.config(plan)})
        write_companions(plan, partial, directory.name, sum(shard.payload for shard in files))


def write_companions(plan: Plan, folder: Path, title: str, weight_bytes: int) -> None:
    """Writes what goes with every model: its tokenizer, `recipe.yaml` and a model card."""
    write_tokenizer(plan, folder)
    (folder / "recipe.yaml").write_text(plan.recipe.to_yaml(), encoding="utf-8")
    (folder / "README.md").write_text(model_card(plan, title, weight_bytes), encoding="utf-8")


def release(plan: Plan, tensor: TensorPlan) -> None:
    """Gives back what was read of mapped files, which would count as this process's memory until they are closed."""
    gain = None if tensor.rotate is None else tensor.rotate.gain
    for step in (*tensor.steps, *(() if gain is None else gain.steps)):
        for operand in (step.base, *step.sources):
            if operand is not None:
                plan.sources[operand.checkpoint].release()


@contextmanager
def whole_folder(directory: Path) -> Iterator[Path]:
    """A new folder beside `directory`, which it is renamed to if the block ends well, and removed if not.

    Raises:
        ConfigurationError: `directory` exists and is not an empty folder.
        StorageError: the disk is full, or refuses.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigurationError(f"{directory} exists already; choose another folder or remove it")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as error:
        raise StorageError(f"cannot write in {directory.parent}: {error.strerror}") from error
    try:
        yield partial
        _sync(partial)
        os.chmod(partial, 0o777 & ~_umask())
        os.replace(partial, directory)
    except OSError as error:
        raise StorageError(
            f"writing {directory} failed ({error.strerror}) and nothing was kept; "
            "free some space or choose another disk"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def model_config(plan: Plan) -> dict[str, Any]:
    """Content of config.json: the plan's, with the dtype that most weights have."""
    config = {key: value for key, value in plan.config.items() if key not in ("torch_dtype", "auto_map")}
    floating = [tensor.info for tensor in plan.tensors if tensor.info.dtype.is_floating_point]
    largest = max(floating, key=lambda info: info.elements).dtype if floating else torch.float32
    return {**config, "dtype": str(largest).removeprefix("torch.")}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON as people read it."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
