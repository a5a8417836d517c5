"""Loading a GGUF file as transformers does: blocks dequantised in float32, then in the dtype of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...core.errors import CheckpointError
from ...core.quiet import no_progress_bars

MODEL_DTYPE = "heterosis.dtype"
"""The key of the dtype that the model had before it was written."""


def load_gguf(path: Path) -> torch.nn.Module:
    """The model, in evaluation mode.

    Raises:
        CheckpointError: transformers cannot load it.
    """
    import transformers
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    dtype = getattr(torch, fields[MODEL_DTYPE].contents()) if MODEL_DTYPE in fields else torch.bfloat16
    options: dict[str, Any] = {"gguf_file": path.name, "dtype": dtype}
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    architecture = fields["general.architecture"].contents()
    config = transformers.AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    config.head_dim = int(fields[f"{architecture}.attention.key_length"].contents())  # transformers does not read it
    maker: Any = transformers.AutoModelForCausalLM
    try:
        with no_progress_bars():
            model, info = maker.from_pretrained(path.parent, config=config, output_loading_info=True, **options)
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"transformers cannot load {path}: {error}") from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(problem):
            raise CheckpointError(
                f"transformers loads {path}, but has {problem.replace('_', ' ')}: {min(map(str, info[problem]))}"
            )
    return model.eval().requires_grad_(False)  # type: ignore[no-any-return]
