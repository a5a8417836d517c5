"""Tiny checkpoints on disk: a base, fine-tunes of it and LoRA adapters, in the layout of a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..core.quiet import no_progress_bars
from .tiny import tiny_model, tiny_tokenizer


def write_tiny(
    directory: Path, family: str = "llama", seed: int = 0, change: float = 0.0, dtype: torch.dtype = torch.float32
) -> Path:
    """Writes a tiny model with its tokenizer.

    Args:
        seed: of the change; all models of a family start from the same base weights.
        change: standard deviation of what is added to every base weight, relative to the weights' own.
        dtype: what the weights are stored in.
    """
    model = tiny_model(family)
    if change:
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += change * 0.15 * noise
    model.to(dtype)  # type: ignore[arg-type]  # transformers' annotation lacks the dtype overload
    with no_progress_bars():
        model.save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    return directory


def write_tiny_adapter(directory: Path, base: Path, seed: int = 0, rank: int = 2, alpha: float = 4.0) -> Path:
    """Writes a random LoRA adapter, in PEFT's format, of every attention and MLP matrix of a tiny checkpoint."""
    from safetensors import safe_open

    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    with safe_open(base / "model.safetensors", framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  (no mapping)
            shape = file.get_slice(name).get_shape()
            if len(shape) == 2 and ".layers." in name:
                stem = f"base_model.model.{name.removesuffix('.weight')}"
                tensors[f"{stem}.lora_A.weight"] = 0.1 * torch.randn(rank, shape[1], generator=generator)
                tensors[f"{stem}.lora_B.weight"] = 0.1 * torch.randn(shape[0], rank, generator=generator)
    directory.mkdir(parents=True)
    save_file(tensors, directory / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "bias": "none", "base_model_name_or_path": str(base)}
    (directory / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return directory
