"""What all GGUF block types share: how they are named and sized, dequantising, and the rows that a file holds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ...core.contracts import Format
from ...core.errors import ConfigurationError
from ...core.quantized_tensor import QuantizedTensor
from .gguf_bits import Bytes, Parts
from .gguf_grid import GgufGrid

SEARCHES = ("minmax", "mse")


@dataclass(frozen=True, eq=False, repr=False)
class GgufFormat(Format):
    """A block type of GGML: `block` weights in a row, stored in `block_bytes` bytes.

    A weight is step * (code - zero) + offset: its group's step and offset, computed in float32 as GGML and the `gguf`
    package do, and only then cast to the model's dtype, as transformers does.

    Attributes:
        ggml_type: the number of the type in GGUF files.
        group: weights in a row that share a step; divides `block`.
        codes: how many values a code has.
        zero: the code that stands for `offset`.
    """

    name: str
    ggml_type: int
    block: int
    block_bytes: int
    group: int
    codes: int
    zero: int = 0

    @property
    def label(self) -> str:
        """See `Format.label`."""
        return self.name

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """See `Format.misfit`."""
        found = super().misfit(shape)
        if found is None and (not shape[1] or shape[1] % self.block):
            return f"blocks of {self.block} do not divide its {shape[1]} columns"
        return found

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """See `Format.nbytes`: of the tensor in a GGUF file, without padding."""
        return shape[0] * (shape[1] // self.block) * self.block_bytes

    def fit(
        self,
        weight: torch.Tensor,
        importance: torch.Tensor | None = None,
        search: str = "minmax",
        dtype: torch.dtype = torch.bfloat16,
    ) -> GgufGrid:
        """See `Format.fit`."""
        misfit = self.misfit(tuple(weight.shape))
        if misfit is not None:
            raise ConfigurationError(f"a matrix of shape {list(weight.shape)} cannot be {self.name}: {misfit}")
        if search not in SEARCHES:
            raise ConfigurationError(f"the format {self.name} has no search {search!r}; it has {', '.join(SEARCHES)}")
        return self._fit(weight, importance, search)

    @abstractmethod
    def _fit(self, weight: torch.Tensor, importance: torch.Tensor | None, search: str) -> GgufGrid: ...

    @abstractmethod
    def steps(self, parts: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Steps and offsets (None: all zero), float32, shape (out, in / group), from the parts as they are stored."""

    def nearest(self, scaled: torch.Tensor) -> torch.Tensor:
        """The codes, float32, nearest to values in units of the step."""
        return scaled.add_(self.zero + 0.5).floor_().clamp_(0, self.codes - 1)

    def dequantize(self, tensor: QuantizedTensor, dtype: torch.dtype) -> torch.Tensor:
        """See `Format.dequantize`."""
        step, offset = self.steps(tensor.parts)
        groups = tensor.codes.view(*step.shape, self.group)
        values = self.valued(groups, step[..., None], None if offset is None else offset[..., None])
        return values.view(tensor.shape).to(dtype)

    def valued(self, codes: torch.Tensor, step: torch.Tensor, offset: torch.Tensor | None) -> torch.Tensor:
        """What codes stand for, float32; everything broadcasts."""
        values = codes.to(torch.float32).sub_(self.zero).mul_(step)
        return values if offset is None else values.add_(offset)

    def packed(self, tensor: QuantizedTensor) -> Bytes:
        """The tensor as a GGUF file holds it: shape (out, bytes of a row)."""
        rows, columns = tensor.shape
        blocks = rows * columns // self.block
        parts = {name: part.cpu().numpy().reshape(blocks, -1) for name, part in tensor.parts.items()}
        packed = self._pack(tensor.codes.cpu().numpy().reshape(blocks, self.block), parts)
        return np.concatenate(packed, axis=1).reshape(rows, -1)

    @abstractmethod
    def _pack(self, codes: Bytes, parts: Parts) -> list[Bytes]:
        """The columns of the blocks' bytes, in order; every argument has a row for each block."""
