"""Loading what was exported, as transformers loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...core.errors import CheckpointError
from ...core.quiet import no_progress_bars


def reloaded(directory: Path) -> torch.nn.Module:
    """The model in a folder, in evaluation mode, in its own dtype.

    Raises:
        CheckpointError: transformers cannot load it, or finds that tensors are missing.
    """
    from transformers import AutoModelForCausalLM

    maker: Any = AutoModelForCausalLM
    local = {"local_files_only": True, "trust_remote_code": False, "output_loading_info": True}
    try:
        with no_progress_bars():
            model, info = maker.from_pretrained(directory, dtype="auto", **local)
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"transformers cannot load {directory}: {error}") from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if info.get(problem):
            first = sorted(map(str, info[problem]))[0]
            raise CheckpointError(f"transformers loads {directory}, but has {problem.replace('_', ' ')}: {first}")
    return model.eval().requires_grad_(False)  # type: ignore[no-any-return]
