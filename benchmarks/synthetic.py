"""Random checkpoints in memory, of larger models' shapes, for timing where no real ones are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from heterosis.core.checkpoints import Checkpoint, TensorInfo
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES: dict[str, dict[str, int]] = {
    "135m": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32},
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
}


class InMemory(Checkpoint):
    """A checkpoint whose tensors are given."""

    def __init__(self, reference: str, tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> None:
        self.reference = reference
        self.directory = Path(".")
        self._held = tensors
        self.tensors = {name: TensorInfo(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
        self.__dict__["config"] = config

    def read(self, name: str) -> torch.Tensor:
        return self._held[name]

    def weight_files(self) -> tuple[Path, ...]:
        return ()


def synthetic(shape: str, sources: int, device: str) -> tuple[dict[str, Checkpoint], torch.nn.Module]:
    """A base called `base`, so many sources near it, and a resident model; bfloat16, on the device."""
    config = LlamaConfig(**SHAPES[shape], vocab_size=32000, tie_word_embeddings=False, dtype="bfloat16")
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    resident = model.to(torch.bfloat16).to_empty(device=device).eval().requires_grad_(False)
    names = {name: target.shape for name, target in resident.state_dict().items()}
    generator = torch.Generator(device).manual_seed(1)

    def random(scale: float, around: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
        made = {}
        for name, size in names.items():
            drawn = torch.randn(size, generator=generator, device=device, dtype=torch.bfloat16).mul_(scale)
            made[name] = drawn if around is None else drawn.add_(around[name])
        return made

    base = random(0.02)
    checkpoints: dict[str, Checkpoint] = {"base": InMemory("base", base, config.to_dict())}
    for number in range(sources):
        reference = f"source {number + 1}"
        checkpoints[reference] = InMemory(reference, random(0.002, base), config.to_dict())
    return checkpoints, resident
