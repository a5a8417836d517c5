"""Quantiser `llm_int8`: bytes for weights and activations, features with large values apart (Dettmers et al., 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...core.contracts import Calibration, Format, Quantizer
from ...core.quantized_tensor import QuantizedTensor
from ..formats.llm_int8 import LlmInt8Format
from .llm_int8_linear import LlmInt8Linear
from .numbers import finite


class LlmInt8(Quantizer):
    """LLM.int8(): weights to bytes row by row, activations token by token, but for features that reach 6.0.

    What a forward pass takes at once decides which features these are, there as here.
    """

    name = "llm_int8"
    source = "https://arxiv.org/abs/2208.07339"

    def misfit(self, format: Format) -> str | None:  # noqa: A002
        """See `Quantizer.misfit`."""
        return None if isinstance(format, LlmInt8Format) else "llm_int8 has one format: llm-int8"

    def quantize(
        self,
        weight: torch.Tensor,
        format: Format,  # noqa: A002
        calibration: Calibration | None,
        options: Mapping[str, float | int | bool | str],
    ) -> QuantizedTensor:
        """See `Quantizer.quantize`."""
        plain = finite(weight)
        return format.encode(format.fit(plain), plain)

    def arithmetic(self, tensor: QuantizedTensor) -> LlmInt8Linear:
        """See `Quantizer.arithmetic`."""
        return LlmInt8Linear()
