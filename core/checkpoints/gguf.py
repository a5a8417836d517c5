"""GGUF files: dequantised once through transformers into a cached safetensors folder, then read like any other."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..contracts.provider import Progress
from ..errors import CheckpointError
from ..quiet import no_progress_bars
from .base import file_sha256
from .safetensors import SINGLE

CONVERTED_DTYPE = torch.bfloat16
_CONVERTER = 2


def convert_gguf(path: Path, cache: Path, progress: Progress) -> Path:
    """A folder with the GGUF model as bfloat16 safetensors, its config and its tokenizer.

    The conversion is done once per file content and kept in `cache`; a conversion that is interrupted leaves nothing.

    Raises:
        CheckpointError: the file is missing, is no GGUF, or transformers cannot read its architecture.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is missing")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise CheckpointError(f"{path} is not a GGUF file (it does not begin with 'GGUF')")
    folder = cache / "gguf" / f"{file_sha256(path)[:32]}-v{_CONVERTER}"
    if (folder / SINGLE).is_file():
        return folder
    size = path.stat().st_size
    progress(f"reading {path.name}", 0, size)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _convert(path, partial)
        if not folder.exists():
            os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    progress(f"reading {path.name}", size, size)
    return folder


def _convert(path: Path, folder: Path) -> None:
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Newer versions would otherwise leave the blocks packed where they have a kernel that computes with them.
    unpacked = (
        {"quantization_config": transformers.GgufConfig(dequantize=True)} if hasattr(transformers, "GgufConfig") else {}
    )
    try:
        with no_progress_bars():
            model = AutoModelForCausalLM.from_pretrained(
                path.parent, gguf_file=path.name, dtype=CONVERTED_DTYPE, **unpacked
            )
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    except Exception as error:  # transformers raises whatever its parsers meet
        raise CheckpointError(f"transformers cannot read {path}: {error}") from error
    tokenizer.save_pretrained(folder)
    config = model.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        config.pop(key, None)
    config["architectures"] = [type(model).__name__]
    config["dtype"] = str(CONVERTED_DTYPE).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n", encoding="utf-8")
    save_file(_distinct(model), folder / SINGLE, metadata={"format": "pt"})


def _distinct(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The parameters and saved buffers, each shared one (tied embeddings) only once."""
    distinct: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict().items():
        distinct.setdefault(tensor.data_ptr(), (name, tensor.contiguous()))
    return dict(distinct.values())
