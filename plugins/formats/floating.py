"""Formats `fp8_e4m3`, `fp8_e5m2` and `fp6_e3m2`: small floats with a scale for each channel, tensor or group."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import torch

from .elements import Elements, MiniFloat, TorchFloat
from .groups import CHANNEL, LABEL, group_name, named_group
from .min_max import nonzero
from .scaled import ScaledFormat
from .shrinking import least_shrunk

KINDS: dict[str, Elements] = {
    "fp8_e4m3": TorchFloat(torch.float8_e4m3fn),
    "fp8_e5m2": TorchFloat(torch.float8_e5m2),
    "fp6_e3m2": MiniFloat(exponent=3, mantissa=2, bias=3),
}
_LABEL = re.compile(rf"({'|'.join(KINDS)}){LABEL}$")


@dataclass(frozen=True, eq=False, repr=False)
class FloatingFormat(ScaledFormat):
    """w = scale * a small float. E4M3 is stored and read as compressed-tensors' `float-quantized` does it.

    fp6_e3m2 is the one of FP6-LLM (Xia et al. 2024): bias 3, largest 28, subnormals, no infinities. Scales bring the
    largest weight to the largest float, or somewhat beyond it (search `mse`). Codes are the floats' bits (uint8).

    Attributes:
        kind: a key of KINDS.
    """

    kind: str = "fp8_e4m3"

    family: ClassVar[str] = "floating"
    pattern: ClassVar[str] = "fp8_e4m3 (a scale for each channel), fp8_e5m2-tensor, fp6_e3m2-g128"

    @classmethod
    def parse(cls, label: str) -> FloatingFormat | None:
        """See `Format.parse`."""
        match = _LABEL.match(label)
        return None if match is None else cls(named_group(match[2], CHANNEL), match[1])

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return self.kind + group_name(self.group, CHANNEL)

    @property
    def elements(self) -> Elements:
        """See `ScaledFormat.elements`."""
        return KINDS[self.kind]

    def scale(self, weight: torch.Tensor, importance: torch.Tensor, search: str, dtype: torch.dtype) -> torch.Tensor:
        """See `ScaledFormat.scale`."""
        plain = weight.abs().amax(dim=-1).to(dtype) / self.elements.largest
        if search == "minmax":
            return plain

        def shrunk(factor: torch.Tensor) -> torch.Tensor:
            return nonzero((plain.float() * factor).to(dtype))

        def loss(factor: torch.Tensor) -> torch.Tensor:
            scale = shrunk(factor).float()[..., None]
            near = self.elements.values(self.elements.round(weight / scale)).mul_(scale)
            return near.sub_(weight).square_().mul_(importance).sum(-1)

        return shrunk(least_shrunk(loss, plain.float()))
