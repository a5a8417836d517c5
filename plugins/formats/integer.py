"""Formats `int1` to `int8`: evenly spaced values with a scale for each group, channel or tensor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.contracts import Format, Grid
from ...core.errors import ConfigurationError
from ...core.quantized_tensor import QuantizedTensor

_LABEL = re.compile(r"int(\d)(?:-(g\d+|channel|tensor))?(-asym)?$")
DEFAULT_GROUP = 128


@dataclass(frozen=True, eq=False, repr=False)
class IntegerFormat(Format):
    """w = scale * (q - zero), q a whole number of `width` bits, as compressed-tensors' `pack-quantized` stores it.

    Attributes:
        width: bits of a code, 1 to 8.
        group: weights in a row that share a scale; 0: a row; -1: the matrix.
        symmetric: whether zero is 0 and codes go from -2^(width-1) to 2^(width-1) - 1.
    """

    width: int
    group: int = DEFAULT_GROUP
    symmetric: bool = True

    family: ClassVar[str] = "integer"
    pattern: ClassVar[str] = "int4 (groups of 128), int3-g64, int8-channel, int4-g128-asym"

    @classmethod
    def parse(cls, label: str) -> IntegerFormat | None:
        """See `Format.parse`."""
        match = _LABEL.match(label)
        if match is None:
            return None
        width, groups, asymmetric = match.groups()
        if not 1 <= int(width) <= 8:
            raise ConfigurationError(f"the format {label!r}: integers have 1 to 8 bits")
        group = {None: DEFAULT_GROUP, "channel": 0, "tensor": -1}.get(groups)
        group = int(groups[1:]) if group is None else group
        return cls(int(width), group, asymmetric is None)

    @property
    def label(self) -> str:
        """See `Format.label`."""
        groups = {DEFAULT_GROUP: "", 0: "-channel", -1: "-tensor"}.get(self.group, f"-g{self.group}")
        return f"int{self.width}{groups}{'' if self.symmetric else '-asym'}"

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        found = super().misfit(shape)
        if found is None and self.group > 0 and shape[1] % self.group:
            return f"groups of {self.group} do not divide its {shape[1]} columns"
        return found

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: codes packed densely into rows of 32-bit words, scales of 2 bytes."""
        raise NotImplementedError

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> Grid:
        """See `Format.fit`."""
        raise NotImplementedError

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`."""
        raise NotImplementedError
