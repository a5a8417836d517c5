"""Small sets of numbers that, times a scale, are the values of a format: how to round to them, what codes stand for."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch


class Elements(ABC):
    """Numbers, each with a code.

    Attributes:
        bits: that a code takes, packed.
        largest: the largest number.
    """

    bits: float
    largest: float

    @abstractmethod
    def round(self, ratios: torch.Tensor) -> torch.Tensor:
        """Codes (int8 or uint8) of the numbers nearest to float32 ones, which may be overwritten."""

    @abstractmethod
    def values(self, codes: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """What codes stand for, in a new tensor; `dtype` must hold every number exactly."""


@dataclass(frozen=True)
class TorchFloat(Elements):
    """An 8-bit float of torch; codes are its bits (uint8). Rounds half to even; what is too large saturates."""

    dtype: torch.dtype
    bits: float = 8

    @property
    def largest(self) -> float:  # type: ignore[override]
        """See `Elements`."""
        return torch.finfo(self.dtype).max

    def round(self, ratios: torch.Tensor) -> torch.Tensor:
        """See `Elements.round`."""
        return ratios.clamp_(-self.largest, self.largest).to(self.dtype).view(torch.uint8)

    def values(self, codes: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """See `Elements.values`."""
        return codes.view(self.dtype).to(dtype)


@dataclass(frozen=True)
class MiniFloat(Elements):
    """A float of few bits with subnormals, without infinities or NaN; codes are its bits (uint8), the sign first.

    Rounds half to even; what is too large saturates.
    """

    exponent: int
    mantissa: int
    bias: int

    @property
    def bits(self) -> float:  # type: ignore[override]
        """See `Elements`."""
        return 1 + self.exponent + self.mantissa

    @property
    def largest(self) -> float:  # type: ignore[override]
        """See `Elements`."""
        return math.ldexp(2 - math.ldexp(1, -self.mantissa), (1 << self.exponent) - 1 - self.bias)

    def round(self, ratios: torch.Tensor) -> torch.Tensor:
        """See `Elements.round`."""
        negative = ratios.signbit()
        size = ratios.abs_().clamp_(max=self.largest)
        bits, drop = size.view(torch.int32), 23 - self.mantissa
        half = (bits >> drop).bitwise_and_(1).add_((1 << (drop - 1)) - 1)
        normal = half.add_(bits).bitwise_right_shift_(drop).sub_(self._rebias)
        subnormal = (size * 2.0 ** (self.bias - 1 + self.mantissa)).round_().to(torch.int32)
        code = torch.where(size < 2.0 ** (1 - self.bias), subnormal, normal)
        return code.add_(negative, alpha=1 << (self.exponent + self.mantissa)).to(torch.uint8)

    def values(self, codes: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """See `Elements.values`."""
        table = self._table().to(codes.device, dtype)
        return table.index_select(0, codes.reshape(-1).int()).reshape(codes.shape)

    def _table(self) -> torch.Tensor:
        size = torch.arange(1 << (self.exponent + self.mantissa), dtype=torch.int32)
        normal = ((size + self._rebias) << (23 - self.mantissa)).view(torch.float32)
        positive = torch.where(size < 1 << self.mantissa, size * 2.0 ** (1 - self.bias - self.mantissa), normal)
        return torch.cat([positive, -positive])

    @property
    def _rebias(self) -> int:
        return (127 - self.bias) << self.mantissa


@dataclass(frozen=True)
class Ternary(Elements):
    """-1, 0 and 1, which are their own codes (int8). Five fit a byte."""

    bits: float = 8 / 5
    largest: float = 1.0

    def round(self, ratios: torch.Tensor) -> torch.Tensor:
        """See `Elements.round`."""
        return ratios.clamp_(-1, 1).round_().to(torch.int8)

    def values(self, codes: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """See `Elements.values`."""
        return codes.to(dtype)


@dataclass(frozen=True)
class Binary(Elements):
    """-1 and 1, codes 0 and 1 (int8); zero goes to 1."""

    bits: float = 1
    largest: float = 1.0

    def round(self, ratios: torch.Tensor) -> torch.Tensor:
        """See `Elements.round`."""
        return (ratios >= 0).to(torch.int8)

    def values(self, codes: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """See `Elements.values`."""
        return codes.to(dtype, copy=True).mul_(2).sub_(1)
