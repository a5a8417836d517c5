"""How a planned tensor stands in a GGUF file: its type, its size, its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...core.checkpoints.base import TensorInfo
from ...core.contracts import Format
from ...core.executors.compute import compute, compute_quantized
from ...core.executors.operands import Operands
from ...core.plan import TensorPlan
from ...core.quantization.level import Level
from ...core.quantized_tensor import QuantizedTensor
from ..formats.gguf_format import GgufFormat
from ..formats.microscaling import MicroscalingFormat
from .gguf_names import row_order

ALIGNMENT = 32
_MXFP4 = 39
_PLAIN = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 30}


def ggml_type(info: TensorInfo, level: Level | None) -> int | None:
    """The number of the type; None if there is none."""
    if level is None:
        return _PLAIN.get(info.dtype) if len(info.shape) > 1 else _PLAIN[torch.float32]
    return _type_of(level.format)


def payload_bytes(info: TensorInfo, level: Level | None) -> int:
    """Bytes of the tensor, without padding. Vectors are float32: llama.cpp computes with no others."""
    if level is not None:
        return level.format.nbytes(info.shape)
    return info.nbytes if len(info.shape) > 1 else 4 * info.elements


def payload(tensor: TensorPlan, operands: Operands, config: Mapping[str, Any]) -> npt.NDArray[Any]:
    """The tensor's bytes, as rows. Whole rows are quantised by themselves, so that they may be put in another order."""
    order = row_order(tensor.name, tensor.info.shape[0], config)
    if tensor.level is not None:
        packed = _packed(compute_quantized(tensor, operands))
        return packed if order is None else np.ascontiguousarray(packed[order.numpy()])
    values = compute(tensor, operands)
    values = values if order is None else values[order]
    values = values.float() if values.dim() < 2 else values
    return values.contiguous().view(torch.uint8).numpy()


def _type_of(format: Format) -> int | None:  # noqa: A002  (the field's word)
    if isinstance(format, GgufFormat):
        return format.ggml_type
    return _MXFP4 if isinstance(format, MicroscalingFormat) and format.specification else None


def _packed(tensor: QuantizedTensor) -> npt.NDArray[np.uint8]:
    if isinstance(tensor.format, GgufFormat):
        return tensor.format.packed(tensor)
    codes = tensor.codes.numpy().reshape(-1, 2, 16)
    both = codes[:, 0] | (codes[:, 1] << 4)
    return np.concatenate([tensor.parts["exponent"].numpy().reshape(-1, 1), both], axis=1).reshape(tensor.shape[0], -1)
