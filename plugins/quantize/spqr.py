"""Quantiser `spqr`: GPTQ that keeps the weights apart that it would hurt most to round (Dettmers et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from ...core.contracts import Calibration, Format, Quantizer
from ...core.quantized_tensor import QuantizedTensor
from ..formats.spqr import SpqrFormat, sparse_parts
from .column_rounding import check_gram, in_order, order_of, round_columns
from .numbers import finite
from .spqr_outliers import KeepingOutliers, within_room, without_outliers

_TRIES = 4
"""The limit is raised for all but the last: there the first outliers are taken until the room is full."""


class Spqr(Quantizer):
    """SpQR. A weight is an outlier if its error costs more than `threshold` * mean_j(var(w_j) / U_jj^2).

    The cost is (w - q)^2 / U_jj^2, U the Cholesky factor of the inverse of the Hessian. Where the format has not enough
    room for all of these, the limit is raised. Unlike in the authors' code, scales are fitted to the weight as it was
    given (GPTQ's static groups), so that columns can be rounded in falling order of their inputs' mean square
    (`act_order`). `damping` and `block` are GPTQ's.
    """

    name = "spqr"
    needs_calibration = True
    options: ClassVar[Mapping[str, float | int | bool | str]] = {
        "threshold": 0.2,
        "act_order": True,
        "damping": 0.01,
        "block": 128,
    }
    source = "https://arxiv.org/abs/2306.03078"

    def misfit(self, format: Format) -> str | None:  # noqa: A002
        """See `Quantizer.misfit`."""
        return None if isinstance(format, SpqrFormat) else "spqr needs a format that it names, such as spqr-3b"

    def quantize(
        self,
        weight: torch.Tensor,
        format: Format,  # noqa: A002
        calibration: Calibration | None,
        options: Mapping[str, float | int | bool | str],
    ) -> QuantizedTensor:
        """See `Quantizer.quantize`."""
        assert calibration is not None
        assert isinstance(format, SpqrFormat)
        plain = finite(weight)
        gram = check_gram(calibration.gram, plain)
        order = order_of(gram, bool(options["act_order"]))
        columns, factor = in_order(plain, gram, order, float(options["damping"]))
        factors = factor.diagonal()  # one over those of the inverse's factor
        limit = float(options["threshold"]) * float((columns.var(dim=1, correction=0) * factors**2).mean())
        costs = torch.empty_like(factors)
        costs[order] = factors**2
        room = format.most_outliers(tuple(weight.shape))
        fitted = without_outliers(plain, costs, format.group, format.width, limit, room) if room else plain
        grid = format.fit(fitted, dtype=weight.dtype)
        limit = limit if room else float("inf")
        for tried in range(_TRIES):
            capped = room if tried == _TRIES - 1 else None
            choice = KeepingOutliers(grid, order, factors, limit, capped)
            round_columns(columns, factor, choice, int(options["block"]))
            if len(choice.outliers()[0]) <= room:
                break
            limit = within_room(torch.stack(choice.costs), limit, room)
        rows, places, values = choice.outliers()
        parts = dict(choice.grid.parts)
        if len(rows):
            parts |= sparse_parts(rows, places, values, len(weight))
        return QuantizedTensor(format, tuple(weight.shape), choice.codes(), parts)
