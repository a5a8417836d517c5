"""float8: read as bfloat16, which nothing is lost by; weights quantised to it are multiplied by their scales."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, prod
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from .base import TensorInfo, listed

DEQUANTISED = torch.bfloat16
"""It holds every float8 value; scaled ones are rounded to it, as by the tools that write such checkpoints."""

QUANTIZED = "quantization_config"
_OF_WEIGHTS = ("_scale_inv", "_scale")  # by either name, a factor that the stored weight is multiplied by
_OF_ACTIVATIONS = (".input_scale", ".input_scale_ub", ".output_scale", ".q_scale", ".k_scale", ".v_scale")
_USUAL_BLOCK = (128, 128)

Shape = tuple[int, ...]


class Float8Scales:
    """The scales that a checkpoint has beside its float8 weights; none unless its config says that it is quantised.

    A weight (rows, columns) has one scale, or one for each row, or one for each block of rows and columns as in
    DeepSeek-V3 (DeepSeek-AI, 2024, section 3.3); a weight of several experts has these for each of them.

    Attributes:
        of: for each scaled weight the name of its scale.
        unused: tensors that a model is not made of: the scales, and those of activations.

    Args:
        tensors: shape and dtype of all that is stored.
        config: the content of config.json.

    Raises:
        CheckpointError: its weights are quantised in another way, or a scale does not fit its weight.
    """

    def __init__(self, directory: Path, tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> None:
        self.of: dict[str, str] = {}
        self.unused: set[str] = set()
        settings = config.get(QUANTIZED)
        if not isinstance(settings, Mapping):
            return
        self._block = _block(settings)
        narrow = [name for name, info in tensors.items() if is_float8(info.dtype)]
        for name in narrow:
            self.of.update((name, name + ending) for ending in reversed(_OF_WEIGHTS) if name + ending in tensors)
        self.unused = {*self.of.values(), *(name for name in tensors if name.endswith(_OF_ACTIVATIONS))}
        packed = [name for name, info in tensors.items() if not info.dtype.is_floating_point and len(info.shape) > 1]
        if odd := packed or [name for name in narrow if name not in self.of]:
            raise CheckpointError(
                f"{directory} is quantised ({settings.get('quant_method')}: {listed(odd, 2)}); of such checkpoints, "
                "only those with float8 weights and a scale for each are read: name the one that it was made from"
            )
        for name, scale in self.of.items():
            if not _fits(tensors[scale].shape, tensors[name].shape, self._block):
                raise CheckpointError(
                    f"{directory}: {scale} {list(tensors[scale].shape)} is neither one scale for {name} "
                    f"{list(tensors[name].shape)}, nor one for each row, nor one for each block of {list(self._block)}"
                )

    def dequantised(self, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """weight * scale, multiplied in float32, as `DEQUANTISED`."""
        result = weight.to(DEQUANTISED)
        _multiply(result, weight, scale.float(), self._block)
        return result


def is_float8(dtype: torch.dtype) -> bool:
    """Whether it is one of the floating-point dtypes of one byte, which nothing is computed in."""
    return dtype.is_floating_point and dtype.itemsize == 1


def _block(settings: Mapping[str, Any]) -> tuple[int, int]:
    given = settings.get("weight_block_size")
    return (int(given[0]), int(given[1])) if isinstance(given, list) and len(given) == 2 else _USUAL_BLOCK


def _fits(scale: Shape, weight: Shape, block: tuple[int, int]) -> bool:
    if prod(scale) == 1:
        return True
    if len(weight) == 3 and len(scale) > 1:
        return scale[0] == weight[0] and _fits(scale[1:], weight[1:], block)
    if len(weight) != 2:
        return False
    blocks = (ceil(weight[0] / block[0]), ceil(weight[1] / block[1]))
    return scale in ((weight[0],), (weight[0], 1), blocks)


def _multiply(result: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, block: tuple[int, int]) -> None:
    """Block by block of rows, so that little is float32 at a time."""
    if weight.dim() == 3:
        for number, expert in enumerate(weight):
            own = scale.view(()) if scale.numel() == 1 else scale[number]
            _multiply(result[number], expert, own, block)
        return
    for first in range(0, len(weight), block[0]):
        rows = slice(first, first + block[0])
        if scale.numel() == 1:
            factors = scale.view(())
        elif len(scale) == len(weight):
            factors = scale[rows].view(-1, 1)
        else:
            factors = scale[first // block[0]].repeat_interleave(block[1])[: weight.shape[1]]
        result[rows] = weight[rows].float() * factors
