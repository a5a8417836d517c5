"""Formats as compressed-tensors has them: its scheme for each, and the tensors that it stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar

import torch

from ...core.checkpoints.base import TensorInfo
from ...core.contracts import Format
from ...core.quantized_tensor import QuantizedTensor
from ..formats.floating import FloatingFormat
from ..formats.groups import CHANNEL, TENSOR
from ..formats.integer import IntegerFormat
from ..formats.microscaling import MicroscalingFormat
from ..formats.nvfp4 import Nvfp4Format

Layout = Sequence[tuple[str, TensorInfo]]
_FP8 = torch.float8_e4m3fn


class Scheme(ABC):
    """One format as compressed-tensors has it.

    Attributes:
        compression: its name for the way tensors are stored.
        needs_bfloat16: whether weights come out as bfloat16, whatever the model's dtype.
    """

    compression: str
    needs_bfloat16: ClassVar[bool] = False

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Of its `QuantizationArgs`."""

    @abstractmethod
    def layout(self, info: TensorInfo) -> Layout:
        """What is stored for a weight: names after the module's, shapes and dtypes."""

    @abstractmethod
    def pack(self, tensor: QuantizedTensor, dtype: torch.dtype) -> Sequence[torch.Tensor]:
        """What `layout` announces; `dtype` is the model's."""


@dataclass(frozen=True)
class PackedIntegers(Scheme):
    """`pack-quantized`: codes in words of 32 bits without gaps."""

    format: IntegerFormat
    compression: str = "pack-quantized"

    def arguments(self) -> dict[str, Any]:
        """See `Scheme.arguments`."""
        return {"num_bits": self.format.width, "type": "int", "symmetric": self.format.symmetric} | _strategy(
            self.format.group
        )

    def layout(self, info: TensorInfo) -> Layout:
        """See `Scheme.layout`."""
        rows, columns = info.shape
        width, scales = self.format.width, _scales(info.shape, self.format.group)
        found = [
            ("weight_packed", TensorInfo((rows, ceil(columns * width / 32)), torch.int32)),
            ("weight_scale", TensorInfo(scales, info.dtype)),
        ]
        if not self.format.symmetric and self.format.group == TENSOR:
            found.append(("weight_zero_point", TensorInfo(scales, torch.int8)))
        elif not self.format.symmetric:
            found.append(("weight_zero_point", TensorInfo((ceil(rows * width / 32), scales[1]), torch.int32)))
        return [*found, ("weight_shape", TensorInfo((2,), torch.int64))]

    def pack(self, tensor: QuantizedTensor, dtype: torch.dtype) -> Sequence[torch.Tensor]:
        """See `Scheme.pack`."""
        from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

        found = [pack_to_int32(tensor.codes, self.format.width), tensor.parts["scale"].to(dtype)]
        if not self.format.symmetric:
            zero = tensor.parts["zero"]
            if self.format.group != TENSOR:
                zero = pack_to_int32(zero, self.format.width, packed_dim=0).contiguous()
            found.append(zero)
        return [*found, torch.tensor(tensor.shape)]


@dataclass(frozen=True)
class PlainFloats(Scheme):
    """`float-quantized`: E4M3 and a scale."""

    format: FloatingFormat
    compression: str = "float-quantized"

    def arguments(self) -> dict[str, Any]:
        """See `Scheme.arguments`."""
        return {"num_bits": 8, "type": "float", "symmetric": True} | _strategy(self.format.group)

    def layout(self, info: TensorInfo) -> Layout:
        """See `Scheme.layout`."""
        scales = TensorInfo(_scales(info.shape, self.format.group), info.dtype)
        return [("weight", TensorInfo(info.shape, _FP8)), ("weight_scale", scales)]

    def pack(self, tensor: QuantizedTensor, dtype: torch.dtype) -> Sequence[torch.Tensor]:
        """See `Scheme.pack`."""
        return [tensor.codes.view(_FP8), tensor.parts["scale"].to(dtype)]


@dataclass(frozen=True)
class Microscaling(Scheme):
    """`mxfp4-pack-quantized` and `mxfp8-quantized`: scales are exponents."""

    format: MicroscalingFormat
    needs_bfloat16: ClassVar[bool] = True

    @property
    def compression(self) -> str:  # type: ignore[override]
        """See `Scheme`."""
        return "mxfp8-quantized" if self.format.wide else "mxfp4-pack-quantized"

    def arguments(self) -> dict[str, Any]:
        """See `Scheme.arguments`."""
        bits = 8 if self.format.wide else 4
        kinds = {"scale_dtype": torch.uint8, "zp_dtype": torch.uint8}
        return {"num_bits": bits, "type": "float", "symmetric": True} | kinds | _strategy(self.format.group)

    def layout(self, info: TensorInfo) -> Layout:
        """See `Scheme.layout`."""
        scales = TensorInfo(_scales(info.shape, self.format.group), torch.uint8)
        return [_elements(info, self.format.wide), ("weight_scale", scales)]

    def pack(self, tensor: QuantizedTensor, dtype: torch.dtype) -> Sequence[torch.Tensor]:
        """See `Scheme.pack`."""
        codes = tensor.codes.view(_FP8) if self.format.wide else _pairs(tensor.codes)
        return [codes, tensor.parts["exponent"]]


@dataclass(frozen=True)
class Nvfp4(Scheme):
    """`nvfp4-pack-quantized`: E4M3 scales, times one number for the matrix."""

    format: Nvfp4Format
    compression: str = "nvfp4-pack-quantized"
    needs_bfloat16: ClassVar[bool] = True

    def arguments(self) -> dict[str, Any]:
        """See `Scheme.arguments`."""
        kinds = {"strategy": "tensor_group", "group_size": 16, "scale_dtype": _FP8, "zp_dtype": _FP8}
        return {"num_bits": 4, "type": "float", "symmetric": True} | kinds

    def layout(self, info: TensorInfo) -> Layout:
        """See `Scheme.layout`."""
        return [
            _elements(info, wide=False),
            ("weight_scale", TensorInfo(_scales(info.shape, 16), _FP8)),
            ("weight_global_scale", TensorInfo((1,), torch.float32)),
        ]

    def pack(self, tensor: QuantizedTensor, dtype: torch.dtype) -> Sequence[torch.Tensor]:
        """See `Scheme.pack`."""
        return [_pairs(tensor.codes), tensor.parts["scale"], tensor.parts["global_scale"]]


def scheme_of(format: Format) -> Scheme | str:  # noqa: A002  (the field's word)
    """The scheme for a format; or why there is none, for people."""
    if isinstance(format, IntegerFormat):
        if format.packs:
            return PackedIntegers(format)
        return "compressed-tensors has no real zero points" if format.real else "its integers have 2 to 8 bits"
    if isinstance(format, FloatingFormat):
        if format.kind == "fp8_e4m3" and format.group in (CHANNEL, TENSOR):
            return PlainFloats(format)
        return "its small floats are fp8_e4m3, with a scale for each channel or tensor"
    if isinstance(format, MicroscalingFormat):
        return Microscaling(format)
    if isinstance(format, Nvfp4Format):
        return Nvfp4(format)
    return f"compressed-tensors has no {format.family} formats"


def _strategy(group: int) -> dict[str, Any]:
    if group > 0:
        return {"strategy": "group", "group_size": group}
    return {"strategy": "tensor" if group == TENSOR else "channel"}


def _scales(shape: tuple[int, ...], group: int) -> tuple[int, ...]:
    if group == TENSOR:
        return (1,)
    return (shape[0], shape[1] // group if group > 0 else 1)


def _elements(info: TensorInfo, wide: bool) -> tuple[str, TensorInfo]:
    rows, columns = info.shape
    if wide:
        return "weight", TensorInfo((rows, columns), _FP8)
    return "weight_packed", TensorInfo((rows, columns // 2), torch.uint8)


def _pairs(codes: torch.Tensor) -> torch.Tensor:
    """Two codes of 4 bits in a byte, the first in the lower half. The library packs values, and these are codes."""
    pairs = codes.reshape(codes.shape[0], -1, 2)
    return pairs[..., 0] | pairs[..., 1] << 4
