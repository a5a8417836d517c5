"""Formats `ternary` and `binary`: signs, with or without zero, times a scale for each group, channel or tensor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import torch

from .elements import Binary, Elements, Ternary
from .groups import LABEL, group_name, named_group
from .scaled import ScaledFormat

DEFAULT_GROUP = 128


@dataclass(frozen=True, eq=False, repr=False)
class TernaryFormat(ScaledFormat):
    """w = scale * (-1, 0 or 1), five to a byte.

    Plain scales are the mean magnitude (BitNet b1.58, Ma et al. 2024); `mse` finds the scale with the least weighted
    squared error, exactly.
    """

    group: int = DEFAULT_GROUP

    family: ClassVar[str] = "ternary"
    pattern: ClassVar[str] = "ternary (groups of 128), ternary-g64, ternary-channel, ternary-tensor"

    @classmethod
    def parse(cls, label: str) -> TernaryFormat | None:
        """See `Format.parse`."""
        match = re.match(f"ternary{LABEL}$", label)
        return None if match is None else cls(named_group(match[1], DEFAULT_GROUP))

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return "ternary" + group_name(self.group, DEFAULT_GROUP)

    @property
    def elements(self) -> Elements:
        """See `ScaledFormat.elements`."""
        return Ternary()

    def scale(self, weight: torch.Tensor, importance: torch.Tensor, search: str, dtype: torch.dtype) -> torch.Tensor:
        """See `ScaledFormat.scale`."""
        found = weight.abs().mean(dim=-1) if search == "minmax" else least_squares(weight.abs(), importance)
        return found.to(dtype)


@dataclass(frozen=True, eq=False, repr=False)
class BinaryFormat(ScaledFormat):
    """w = scale * (-1 or 1), a bit each.

    Plain scales are the mean magnitude (XNOR-Net, Rastegari et al. 2016), which has the least squared error; `mse`
    weighs it.
    """

    group: int = DEFAULT_GROUP

    family: ClassVar[str] = "binary"
    pattern: ClassVar[str] = "binary (groups of 128), binary-g64, binary-channel, binary-tensor"

    @classmethod
    def parse(cls, label: str) -> BinaryFormat | None:
        """See `Format.parse`."""
        match = re.match(f"binary{LABEL}$", label)
        return None if match is None else cls(named_group(match[1], DEFAULT_GROUP))

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return "binary" + group_name(self.group, DEFAULT_GROUP)

    @property
    def elements(self) -> Elements:
        """See `ScaledFormat.elements`."""
        return Binary()

    def scale(self, weight: torch.Tensor, importance: torch.Tensor, search: str, dtype: torch.dtype) -> torch.Tensor:
        """See `ScaledFormat.scale`."""
        size = weight.abs()
        if search == "minmax":
            found = size.mean(dim=-1)
        else:
            found = (size * importance).sum(-1) / importance.expand_as(size).sum(-1)
        return found.to(dtype).clamp(min=torch.finfo(dtype).tiny)  # zeros have no code, and want the smallest scale


def least_squares(size: torch.Tensor, importance: torch.Tensor) -> torch.Tensor:
    """The ternary scale of each group with the least weighted squared error.

    Whatever the scale, the weights that are not zero are the k largest, for some k; their weighted mean is their best
    scale, and the error saved is its square times their importance. All k are tried.

    Args:
        size: magnitudes, shape (rows, groups, size).
        importance: broadcasts against them.
    """
    ordered, order = size.sort(dim=-1, descending=True)
    share = importance.expand_as(size).gather(-1, order)
    sums, totals = (ordered * share).cumsum(-1), share.cumsum(-1)
    pick = (sums.square() / totals).argmax(dim=-1, keepdim=True)
    return (sums.gather(-1, pick) / totals.gather(-1, pick)).squeeze(-1)
