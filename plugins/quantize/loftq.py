"""Quantiser `loftq`: a low-rank product beside the codes takes back what rounding did to outputs (Li et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from ...core import registry
from ...core.contracts import Calibration, Format, Quantizer
from ...core.errors import MaterialiseError
from ...core.quantized_tensor import QuantizedTensor
from ..formats.low_rank import LowRankFormat
from .column_rounding import check_gram, triangular_factor
from .weighted_low_rank import closest


class LoftQ(Quantizer):
    """Quantises what the product leaves and refits the product to what that leaves, in turn; the best round is kept.

    Unlike in the paper the error is that of the outputs, |(W - Q - L R) X|, where there is calibration; of the weights
    else. Options: `quantizer` rounds (with its own defaults); `iterations` rounds; `damping` as GPTQ's.
    """

    name = "loftq"
    options: ClassVar[Mapping[str, float | int | bool | str]] = {"quantizer": "rtn", "iterations": 5, "damping": 0.01}
    source = "https://arxiv.org/abs/2310.08659"

    def misfit(self, format: Format) -> str | None:  # noqa: A002
        """See `Quantizer.misfit`."""
        if isinstance(format, LowRankFormat):
            return None
        return f"loftq needs the rank of a correction: {format.label}-r16"

    def quantize(
        self,
        weight: torch.Tensor,
        format: Format,  # noqa: A002
        calibration: Calibration | None,
        options: Mapping[str, float | int | bool | str],
    ) -> QuantizedTensor:
        """See `Quantizer.quantize`."""
        assert isinstance(format, LowRankFormat)
        rounding = _rounding(str(options["quantizer"]), format.inner, calibration)
        plain, factor = weight.float(), None
        if calibration is not None:
            factor = triangular_factor(check_gram(calibration.gram, plain), float(options["damping"]))
        rest, best, least = weight, None, float("inf")
        for _ in range(max(1, int(options["iterations"]))):
            rounded = rounding.quantize(rest, format.inner, calibration, rounding.options)
            error = plain - rounded.dequantize(weight.dtype).float()
            left, right = (one.bfloat16() for one in closest(error, factor, format.rank))
            product = left.float() @ right.float()
            missing = error - product
            loss = float((missing if factor is None else missing @ factor).square().sum())
            if best is None or loss < least:
                parts = {**rounded.parts, "left": left, "right": right}
                best, least = QuantizedTensor(format, rounded.shape, rounded.codes, parts), loss
            rest = (plain - product).to(weight.dtype)
        assert best is not None
        return best


def _rounding(name: str, inner: Format, calibration: Calibration | None) -> Quantizer:
    """The quantiser called so. Raises MaterialiseError if it cannot do the rounding here."""
    found: Quantizer = registry.load("quantizers", name)()
    misfit = found.misfit(inner)
    if misfit is None and found.needs_calibration and calibration is None:
        misfit = f"{name} must know the layer's inputs; give `calibration`"
    if misfit is not None:
        raise MaterialiseError(f"loftq cannot round by {name!r} to {inner.label}: {misfit}")
    return found
