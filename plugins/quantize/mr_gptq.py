"""Quantiser `mr_gptq`: GPTQ on weights and inputs that a block Hadamard matrix turned (Egiazarian et al., 2025)."""

from __future__ import annotations

from typing import ClassVar

import torch

from ...core.contracts import Calibration, Format, Quantizer
from ...core.quantized_tensor import QuantizedTensor
from ..formats.hadamard import HadamardFormat
from .column_rounding import check_gram
from .gptq import OPTIONS, Options, gptq
from .numbers import finite


class MrGptq(Quantizer):
    """Micro-rotated GPTQ: a block Hadamard rotation, scales with the least squared error, then GPTQ in that space.

    Options as `gptq` has; `search` is `mse`. The paper's search for scales minimises another norm (the power of 2.4)
    over finer steps.
    """

    name = "mr_gptq"
    needs_calibration = True
    options: ClassVar[Options] = {**OPTIONS, "search": "mse"}
    source = "https://arxiv.org/abs/2509.23202"

    def misfit(self, format: Format) -> str | None:  # noqa: A002
        """See `Quantizer.misfit`."""
        if isinstance(format, HadamardFormat):
            return None
        return f"mr_gptq turns weights first: name the size of the blocks, such as {format.label}-h32"

    def quantize(
        self,
        weight: torch.Tensor,
        format: Format,  # noqa: A002
        calibration: Calibration | None,
        options: Options,
    ) -> QuantizedTensor:
        """See `Quantizer.quantize`."""
        assert isinstance(format, HadamardFormat)
        assert calibration is not None
        gram = format.turned_gram(check_gram(calibration.gram, weight))
        search = str(options["search"])
        found = gptq(format.turned(finite(weight)), format.inner, gram, options, search, weight.dtype)
        return QuantizedTensor(format, found.shape, found.codes, found.parts)
