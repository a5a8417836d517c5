"""LLM.int8() layers as bitsandbytes computes them: products of bytes, and features with large values apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...core.quantization.activations import LinearArithmetic
from ..formats.llm_int8 import HIGHEST

THRESHOLD = 6.0
"""transformers' default, which is the paper's."""
_INVERSE_SQUARE = 6.200124e-05
"""1 / 127^2 as bitsandbytes has it."""


@dataclass(frozen=True)
class LlmInt8Linear(LinearArithmetic):
    """y = (x_q W_q^T) (s_x s_W) / 127^2 + b + x_o W_o^T (Dettmers et al., 2022), bit for bit as bitsandbytes on a CPU.

    Tokens pass through float16 and are rounded in units of their largest magnitude below the threshold.

    Attributes:
        threshold: features in which a token of the call has at least this magnitude are multiplied as they are.
    """

    threshold: float = THRESHOLD

    def linear(self, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """See `LinearArithmetic.linear`."""
        tokens = inputs.reshape(-1, inputs.shape[-1]).to(weight.device)
        half = tokens.half()
        large = half.abs() >= self.threshold
        outliers = large.any(dim=0).nonzero().flatten()
        codes, sizes = _bytes(half.masked_fill(large, 0).float())
        codes[:, outliers] = 0
        weight_codes, weight_sizes = recovered(weight)
        # whole numbers, and exact: a layer would need more than 1000 features that are all extreme to exceed 2^24
        found = (codes @ weight_codes.T) * (sizes[:, None] * weight_sizes) * _INVERSE_SQUARE
        if bias is not None:
            found += bias
        found = found.to(inputs.dtype)
        if len(outliers):
            found = found.addmm(tokens[:, outliers].contiguous(), weight[:, outliers].contiguous().T)
        return found.reshape(*inputs.shape[:-1], len(weight))


def recovered(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes, (out, in), and scales, (out,), float32, of a dequantised weight in any dtype that models have.

    Nothing is lost by rounding to it: a row's largest value has the code 127 and a scale that is a float16, and the
    others are less than half a code away.
    """
    return _bytes(weight.float(), weight.abs().amax(dim=1).half().float())


def _bytes(rows: torch.Tensor, sizes: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    sizes = rows.abs().amax(dim=1) if sizes is None else sizes
    factors = torch.where(sizes > 0, float(HIGHEST) / sizes, 0)
    return (rows * factors[:, None]).round_(), sizes
