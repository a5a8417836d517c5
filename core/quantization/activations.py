"""How an engine rounds the inputs of a linear layer, token by token, before it multiplies."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ActivationRounding:
    """Dynamic rounding of activations.

    Attributes:
        bits: of each value, 2 to 8.
        symmetric: whether codes go from -(2^(bits-1) - 1) to 2^(bits-1) - 1 in units of a token's largest magnitude;
            else they divide the range from its smallest to its largest value evenly.
        threshold: features in which any token of a call has a magnitude of at least this are not rounded (LLM.int8());
            0: none.
        columns: features that are never rounded (QUIK).
    """

    bits: int
    symmetric: bool = True
    threshold: float = 0.0
    columns: tuple[int, ...] = ()

    def apply(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the inputs become: float32, of their shape (..., features); tokens are all but the last dimension.

        A token's largest value is looked for among those that are rounded; as bitsandbytes does it, a value beneath the
        threshold counts even if others put its feature among those that are not.
        """
        rows = inputs.float().reshape(-1, inputs.shape[-1])
        kept = torch.zeros(rows.shape[1], dtype=torch.bool, device=rows.device)
        if self.columns:
            kept[list(self.columns)] = True
        rest = rows.masked_fill(kept, 0)
        if self.threshold > 0:
            outliers = rows.abs() >= self.threshold
            rest = rest.masked_fill_(outliers, 0)
            kept |= outliers.any(dim=0)
        rounded = self._symmetric(rest) if self.symmetric else self._asymmetric(rest, rows[:, ~kept])
        return torch.where(kept, rows, rounded).reshape(inputs.shape)

    def _symmetric(self, rows: torch.Tensor) -> torch.Tensor:
        highest = float(2 ** (self.bits - 1) - 1)
        largest = rows.abs().amax(dim=1, keepdim=True)
        codes = (rows * (highest / torch.where(largest > 0, largest, 1))).round_()
        return codes.mul_(largest).div_(highest)

    def _asymmetric(self, rows: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
        if not counted.shape[1]:
            return rows
        low, high = counted.aminmax(dim=1, keepdim=True)
        highest = 2**self.bits - 1
        step = (high - low) / highest
        codes = ((rows - low) / torch.where(step > 0, step, 1)).round_().clamp_(0, highest)
        return codes.mul_(step).add_(low)
