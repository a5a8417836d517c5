"""Quantiser `gptq`: each column's rounding error is made up for by the columns after it (Frantar et al., 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from ...core.contracts import Calibration, Format, Quantizer
from ...core.errors import MaterialiseError
from ...core.quantized_tensor import QuantizedTensor
from ..formats.hadamard import HadamardFormat
from ..formats.integer import IntegerFormat
from .column_choices import OnGrid, OnGroups
from .column_rounding import check_gram, in_order, order_of, round_columns
from .numbers import finite

Options = Mapping[str, float | int | bool | str]

OPTIONS: Options = {"act_order": True, "static_groups": True, "block": 128, "damping": 0.01, "search": "minmax"}


class Gptq(Quantizer):
    """GPTQ on any grid.

    Options: `act_order` rounds columns in falling order of their inputs' mean square; `static_groups` fits the scales
    to the weight as it was given (where false, each group's to what has become of it: not with act_order); `block`
    columns at once; `damping` raises the diagonal, in units of its mean; `search` as the format's.
    """

    name = "gptq"
    needs_calibration = True
    options: ClassVar[Options] = OPTIONS
    source = "https://arxiv.org/abs/2210.17323"

    def misfit(self, format: Format) -> str | None:  # noqa: A002
        """See `Quantizer.misfit`."""
        if isinstance(format, HadamardFormat):
            return f"gptq goes column by column, and turned blocks are whole; write mr_gptq:{format.label}"
        return None

    def advice(self, format: Format) -> Options:  # noqa: A002
        """See `Quantizer.advice`: at every width these scales lose less, most at the lowest."""
        return {"search": "mse"} if isinstance(format, IntegerFormat) else {}

    def quantize(
        self,
        weight: torch.Tensor,
        format: Format,  # noqa: A002
        calibration: Calibration | None,
        options: Options,
    ) -> QuantizedTensor:
        """See `Quantizer.quantize`."""
        assert calibration is not None
        return gptq(finite(weight), format, calibration.gram, options, str(options["search"]), weight.dtype)


def gptq(
    weight: torch.Tensor,
    format: Format,  # noqa: A002
    gram: torch.Tensor,
    options: Options = OPTIONS,
    search: str = "minmax",
    dtype: torch.dtype = torch.bfloat16,
) -> QuantizedTensor:
    """The weight in a format, its outputs on inputs with these second moments close to what they were.

    Args:
        weight: float32, shape (out, in).
        gram: mean of x x^T, or any multiple of it, shape (in, in).
        options: as `Gptq`'s; `search` there is not looked at.
        search, dtype: as `Format.fit`'s.

    Raises:
        MaterialiseError: the gram matrix is of another layer or not positive semidefinite, or the options clash.
    """
    gram = check_gram(gram, weight)
    static, act_order = bool(options["static_groups"]), bool(options["act_order"])
    order = order_of(gram, act_order)
    columns, factor = in_order(weight, gram, order, float(options["damping"]))
    if static:
        choice = OnGrid(format.fit(weight, gram.diagonal(), search, dtype), order)
        round_columns(columns, factor, choice, int(options["block"]))
        return QuantizedTensor(format, tuple(weight.shape), choice.codes(), choice.grid.parts)
    if act_order:
        raise MaterialiseError("gptq: `act_order` needs `static_groups`; leave one of the options as it is by default")
    by_group = OnGroups(format, gram.diagonal(), search, dtype)
    round_columns(columns, factor, by_group, by_group.group)
    return QuantizedTensor(format, tuple(weight.shape), by_group.codes(), by_group.parts())
