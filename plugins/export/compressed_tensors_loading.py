"""Loading what compressed-tensors holds, by transformers, and decompressing it as it does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ...core.quiet import no_progress_bars
from .reloading import reloaded

_DRAWING = (
    "compressed_tensors.quantization.lifecycle.apply",
    "compressed_tensors.compressors.model_compressors.model_compressor",
    "compressed_tensors.offload.dispatch",
)


def decompressed(directory: Path) -> torch.nn.Module:
    """The model in a folder with the weights that transformers would have from the first forward pass on.

    Raises:
        CheckpointError: transformers cannot load it.
    """
    with no_progress_bars(*_DRAWING), _zero_points_expected_packed(), _no_word_of_joined_experts():
        model = reloaded(directory)
        quantizer: Any = getattr(model, "hf_quantizer", None)
        if quantizer is not None:
            quantizer.compressor.decompress_model(model)
    return model


@contextmanager
def _no_word_of_joined_experts() -> Iterator[None]:
    """compressed-tensors warns of every target that is no module, as experts are none once they are joined. A target
    that is missing without reason shows itself as keys that are unexpected."""
    logger = logging.getLogger("compressed_tensors.utils.match")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _zero_points_expected_packed() -> Iterator[None]:
    """compressed-tensors 0.20 makes room for zero points as if they were not packed, and then refuses packed ones,
    its own too (0.19 did not, nor does vLLM). In this block it makes the room that they need."""
    from compressed_tensors.compressors.pack_quantized import base

    plain = vars(base.PackedQuantizationCompressor)["compress"]

    def compress(kind: Any, state: dict[str, torch.Tensor], scheme: Any) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = plain.__func__(kind, state, scheme)
        packed, zero = found["weight_packed"], state.get("weight_zero_point")
        weights = scheme.weights
        if packed.device.type == "meta" and not weights.symmetric and weights.strategy in base.PACK_ZP_STRATS:
            assert zero is not None
            words = -(-zero.shape[0] * weights.num_bits // 32)
            found["weight_zero_point"] = torch.empty((words, *zero.shape[1:]), dtype=torch.int32, device="meta")
        return found

    base.PackedQuantizationCompressor.compress = classmethod(compress)
    try:
        yield
    finally:
        base.PackedQuantizationCompressor.compress = plain
