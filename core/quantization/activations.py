"""How an engine computes a linear layer where that is not the plain product: its inputs are rounded before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch


class LinearArithmetic(ABC):
    """The arithmetic of a linear layer; equal ones compute the same."""

    @abstractmethod
    def linear(self, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The layer's outputs, shape (..., out), in the dtype of the inputs.

        Args:
            inputs: shape (..., in).
            weight: what the codes stand for, in the dtype of the model, shape (out, in).
            bias: shape (out,).
        """


@dataclass(frozen=True)
class ActivationRounding(LinearArithmetic):
    """Dynamic rounding of activations, token by token.

    The product is then taken in float32, so that nothing but the rounding is added to it.

    Attributes:
        bits: of each value, 2 to 8.
        symmetric: whether codes go from -(2^(bits-1) - 1) to 2^(bits-1) - 1 in units of a token's largest magnitude;
            else they divide the range from its smallest to its largest value evenly.
        columns: features that are never rounded (QUIK).
    """

    bits: int
    symmetric: bool = True
    columns: tuple[int, ...] = ()

    def linear(self, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """See `LinearArithmetic.linear`."""
        rounded = self.apply(inputs).to(weight.device)
        found = torch.nn.functional.linear(rounded, weight.float(), None if bias is None else bias.float())
        return found.to(inputs.dtype)

    def apply(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the inputs become: float32, of their shape (..., features); tokens are all but the last dimension.

        A token's largest value is looked for among those that are rounded.
        """
        rows = inputs.float().reshape(-1, inputs.shape[-1])
        kept = torch.zeros(rows.shape[1], dtype=torch.bool, device=rows.device)
        if self.columns:
            kept[list(self.columns)] = True
        rest = rows.masked_fill(kept, 0)
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
