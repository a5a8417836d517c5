"""Checkpoints: safetensors, GGUF and LoRA adapters, read tensor by tensor."""

from .base import Checkpoint, LowRankChange, TensorInfo
from .compatibility import check_compatible, needed_tensors
from .open import SourceSet, open_checkpoint

__all__ = [
    "Checkpoint",
    "LowRankChange",
    "SourceSet",
    "TensorInfo",
    "check_compatible",
    "needed_tensors",
    "open_checkpoint",
]
