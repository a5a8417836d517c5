"""Quantiser `rtn`: every weight to the nearest value of the grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from ...core.contracts import Calibration, Format, Quantizer
from ...core.quantized_tensor import QuantizedTensor
from .numbers import finite, importance_of


class RoundToNearest(Quantizer):
    """Round to nearest, with the format's plain scales (`search: minmax`) or better ones (`mse`, ...)."""

    name = "rtn"
    options: ClassVar[Mapping[str, float | int | bool | str]] = {"search": "minmax"}

    def quantize(
        self,
        weight: torch.Tensor,
        format: Format,  # noqa: A002
        calibration: Calibration | None,
        options: Mapping[str, float | int | bool | str],
    ) -> QuantizedTensor:
        """See `Quantizer.quantize`."""
        plain = finite(weight)
        importance = importance_of(calibration, weight)
        return format.encode(format.fit(plain, importance, str(options["search"]), weight.dtype), plain)
