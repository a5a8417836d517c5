"""A block of columns rounded but for outliers, as `round_columns` does it, several times as fast."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_ROWS = 256
"""So many rows of a block stay in a core's cache."""


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def round_but_outliers(
    columns: Any,
    values: Any,
    shares: Any,
    scales: Any,
    zeros: Any,
    groups: Any,
    highest: Any,
    factors: Any,
    limit: Any,
    errors: Any,
    codes: Any,
    costs: Any,
) -> None:
    """Rounds the columns of one block in turn; what costs more than `limit` keeps its value.

    Args:
        columns: the weight's, float32, shape (n, out).
        values: with the errors of earlier blocks added; overwritten with what they are when their turn has come.
        shares: of the error of column i that column j takes, float32, shape (n, n).
        scales, zeros: float32, shape (groups, out).
        groups: of each column, int64, shape (n,).
        highest: the largest code, float32; the smallest is 0.
        factors: what a column's error is multiplied by, and squared, to be its cost, float32, shape (n,).
        errors: written, float32, shape (n, out): columns less what was chosen.
        codes, costs: written, uint8 and float32, shape (n, out).
    """
    count, rows = columns.shape
    nothing = np.float32(0)
    for start in range(0, rows, _ROWS):
        stop = min(start + _ROWS, rows)
        for column in range(count):
            value = values[column]
            for before in range(column):
                share = shares[before, column]
                error = errors[before]
                for row in range(start, stop):
                    value[row] += error[row] * share
            scale, zero, factor = scales[groups[column]], zeros[groups[column]], factors[column]
            for row in range(start, stop):
                code = np.rint(min(max(value[row] / scale[row] + zero[row], nothing), highest))
                rounded = (code - zero[row]) * scale[row]
                cost = (value[row] - rounded) * factor
                cost *= cost
                codes[column, row] = np.uint8(code)
                costs[column, row] = cost
                errors[column, row] = columns[column, row] - (value[row] if cost > limit else rounded)
