"""bitsandbytes' ways to store a linear layer, of which a model has one: NF4, FP4, or LLM.int8()."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...core.checkpoints.base import TensorInfo
from ...core.quantization.level import Level
from ...core.quantized_tensor import QuantizedTensor
from ..formats.codebook import CodebookFormat
from ..formats.dynamic_map import BLOCK
from ..formats.llm_int8 import LlmInt8Format
from ..quantize.llm_int8_linear import THRESHOLD

Layout = Sequence[tuple[str, TensorInfo]]
INT8 = "llm_int8:llm-int8"
"""No other level of 8 bits: bitsandbytes rounds the activations too, and only this one is simulated so."""


def mode_of(level: Level) -> str | None:
    """`nf4`, `fp4` or `llm-int8`; None for what bitsandbytes does not have."""
    if isinstance(level.format, CodebookFormat):
        return level.format.kind
    return level.format.label if level.label == INT8 else None


def layout(name: str, info: TensorInfo, level: Level | None) -> Layout:
    """Names, shapes and dtypes of what is stored for a weight; `packed` gives the tensors."""
    if level is None:
        return [(name, info)]
    if isinstance(level.format, LlmInt8Format):
        return _layout_of_bytes(name, info)
    return _layout_of_codebook(name, info, _codebook(level))


def packed(level: Level, tensor: QuantizedTensor, dtype: torch.dtype) -> list[torch.Tensor]:
    """The tensors that `layout` announces, in its order.

    Args:
        dtype: of the model.
    """
    if isinstance(level.format, LlmInt8Format):
        return list(level.format.stored(tensor).values())
    return list(_codebook(level).stored(tensor, dtype).values())


def settings(levels: Sequence[Level], dtype: torch.dtype) -> Mapping[str, Any]:
    """What config.json says of levels of one mode."""
    method = {"quant_method": "bitsandbytes"}
    if isinstance(levels[0].format, LlmInt8Format):
        return {**method, "load_in_8bit": True, "llm_int8_threshold": THRESHOLD, "llm_int8_has_fp16_weight": False}
    return {
        **method,
        "load_in_4bit": True,
        "bnb_4bit_quant_type": _codebook(levels[0]).kind,
        "bnb_4bit_use_double_quant": any(_codebook(level).double for level in levels),
        "bnb_4bit_compute_dtype": str(dtype).removeprefix("torch."),
        "bnb_4bit_quant_storage": "uint8",
    }


def _layout_of_bytes(name: str, info: TensorInfo) -> Layout:
    module = name.removesuffix(".weight")
    return [
        (name, TensorInfo(info.shape, torch.int8)),
        (f"{module}.SCB", TensorInfo(info.shape[:1], torch.float32)),
        (f"{module}.weight_format", TensorInfo((), torch.uint8)),
    ]


def _layout_of_codebook(name: str, info: TensorInfo, kind: CodebookFormat) -> Layout:
    blocks = info.elements // kind.block
    found = [
        (name, TensorInfo((info.elements // 2, 1), torch.uint8)),
        (f"{name}.absmax", TensorInfo((blocks,), torch.uint8 if kind.double else torch.float32)),
        (f"{name}.quant_map", TensorInfo((16,), torch.float32)),
    ]
    if kind.double:
        found.append((f"{name}.nested_absmax", TensorInfo((-(-blocks // BLOCK),), torch.float32)))
        found.append((f"{name}.nested_quant_map", TensorInfo((256,), torch.float32)))
    description = kind.nbytes(info.shape) - sum(stored.nbytes for _, stored in found)
    return [*found, (f"{name}.quant_state.bitsandbytes__{kind.kind}", TensorInfo((description,), torch.uint8))]


def _codebook(level: Level) -> CodebookFormat:
    assert isinstance(level.format, CodebookFormat)
    return level.format
