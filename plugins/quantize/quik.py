"""Quantiser `quik`: GPTQ whose errors flow into columns that are kept whole (Ashkboos et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from ...core.contracts import Calibration, Format, Grid, Quantizer
from ...core.quantization.activations import ActivationRounding
from ...core.quantized_tensor import QuantizedTensor
from ..formats.quik import QuikFormat, largest
from .column_choices import OnGrid
from .column_rounding import check_gram, in_order, order_of, round_columns
from .numbers import finite


class Quik(Quantizer):
    """QUIK. The columns whose inputs get largest stay in bfloat16 and come last; activations have as many bits.

    Activations are rounded token by token, but for the features of kept columns. Without the inputs' maxima, which old
    statistics lack, the largest mean squares decide. The paper has 8 bits for `down_proj` (`quik-8b`): that is for the
    recipe to say. Options as GPTQ's; scales are searched (`search: mse`) by clipping.
    """

    name = "quik"
    needs_calibration = True
    options: ClassVar[Mapping[str, float | int | bool | str]] = {
        "act_order": True,
        "damping": 0.01,
        "block": 128,
        "search": "mse",
    }
    source = "https://arxiv.org/abs/2310.09259"

    def misfit(self, format: Format) -> str | None:  # noqa: A002
        """See `Quantizer.misfit`."""
        return None if isinstance(format, QuikFormat) else "quik needs a format that it names, such as quik-4b-o64"

    def quantize(
        self,
        weight: torch.Tensor,
        format: Format,  # noqa: A002
        calibration: Calibration | None,
        options: Mapping[str, float | int | bool | str],
    ) -> QuantizedTensor:
        """See `Quantizer.quantize`."""
        assert calibration is not None
        assert isinstance(format, QuikFormat)
        plain = finite(weight)
        gram = check_gram(calibration.gram, plain)
        sizes = gram.diagonal() if calibration.maxima is None else calibration.maxima.to(gram.device)
        kept = largest(sizes, format.kept)
        grid = format.grid(plain, kept, calibration.importance.to(gram.device), str(options["search"]), weight.dtype)
        order = order_of(gram, bool(options["act_order"]))
        is_kept = torch.isin(order, kept)
        order = torch.cat([order[~is_kept], order[is_kept]])
        columns, factor = in_order(plain, gram, order, float(options["damping"]))
        choice = _KeepingLast(grid.inner, order, len(order) - format.kept)
        errors = round_columns(columns, factor, choice, int(options["block"]))
        chosen = torch.empty_like(plain)
        chosen[:, order] = (columns - errors).T
        return format.tensor(grid, choice.codes(), chosen)

    def arithmetic(self, tensor: QuantizedTensor) -> ActivationRounding:
        """See `Quantizer.arithmetic`."""
        assert isinstance(tensor.format, QuikFormat)
        kept = tuple(tensor.parts["kept_columns"].tolist())
        return ActivationRounding(tensor.format.width, symmetric=False, columns=kept)


class _KeepingLast(OnGrid):
    """A grid for the first columns; those from `first_kept` on are only rounded to bfloat16."""

    def __init__(self, grid: Grid, order: torch.Tensor, first_kept: int) -> None:
        super().__init__(grid, order)
        self._first_kept = first_kept

    def choose(self, column: int, values: torch.Tensor) -> torch.Tensor:
        """See `ColumnChoice.choose`."""
        rounded = super().choose(column, values)
        return rounded if column < self._first_kept else values.bfloat16().float()

    def round_block(
        self, first: int, columns: torch.Tensor, values: torch.Tensor, shares: torch.Tensor, errors: torch.Tensor
    ) -> bool:
        """See `ColumnChoice.round_block`: not where there are kept columns."""
        if first + len(columns) > self._first_kept:
            return False
        return super().round_block(first, columns, values, shares, errors)
