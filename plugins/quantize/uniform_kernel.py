"""A block of columns rounded to evenly spaced values, as `round_columns` does it, several times as fast."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_ROWS = 256
"""So many rows of a block stay in a core's cache."""


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def round_block(
    columns: Any,
    values: Any,
    shares: Any,
    scales: Any,
    zeros: Any,
    groups: Any,
    low: Any,
    high: Any,
    errors: Any,
    codes: Any,
) -> None:
    """Rounds the columns of one block in turn.

    Args:
        columns: the weight's, float32, shape (n, out).
        values: with the errors of earlier blocks added; overwritten.
        shares: of the error of column i that column j takes, float32, shape (n, n).
        scales, zeros: float32, shape (groups, out).
        groups: of each column, int64, shape (n,).
        low, high: the smallest and the largest code, float32.
        errors: written, float32, shape (n, out): columns less what was chosen.
        codes: written, int8, shape (n, out).
    """
    count, rows = columns.shape
    for start in range(0, rows, _ROWS):
        stop = min(start + _ROWS, rows)
        for column in range(count):
            value = values[column]
            for before in range(column):
                share = shares[before, column]
                error = errors[before]
                for row in range(start, stop):
                    value[row] += error[row] * share
            scale, zero = scales[groups[column]], zeros[groups[column]]
            for row in range(start, stop):
                code = np.rint(min(max(value[row] / scale[row] + zero[row], low), high))
                codes[column, row] = np.int8(code)
                errors[column, row] = columns[column, row] - (code - zero[row]) * scale[row]
