"""Reductions over a task vector: its l1 norm after a term, and the magnitudes in an interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .elements import wide
from .forms import thinned

_U = np.uint32
_ZERO = np.float32(0)
_PART = 1 << 12
"""How many elements are summed in float32 before they are added in float64."""
_FEW = 1 << 9


@njit(nogil=True, cache=True)
def magnitude_sum(base: Any, source: Any, bounds: Any, draws: Any) -> Any:
    """Sum of |source - base| over the elements that are within the bounds and drawn (see `forms.task_vector_sum`)."""
    whole = 0.0
    for start in range(0, base.shape[0], _PART):
        stop = min(start + _PART, base.shape[0])
        whole += _part_sum(base[start:stop], source[start:stop], bounds, draws, _U(start & 0xFFFFFFFF))
    return whole


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _part_sum(base: Any, source: Any, bounds: Any, draws: Any, first: Any) -> Any:
    total = _ZERO
    for i in range(base.shape[0]):
        change = wide(source[i]) - wide(base[i])
        total += abs(thinned(change, 0, bounds, draws, None, _U(first + _U(i))))
    return total


@njit(nogil=True, cache=True)
def magnitudes_between(base: Any, source: Any, low: Any, high: Any, found: Any) -> Any:
    """Writes the magnitudes of source - base in [low, high] into `found`, in order; returns how many there are.

    Fast where they are few: parts without any are passed over in vector instructions.
    """
    count = 0
    for start in range(0, base.shape[0], _FEW):
        stop = min(start + _FEW, base.shape[0])
        if not _count_between(base[start:stop], source[start:stop], low, high):
            continue
        for i in range(start, stop):
            magnitude = abs(wide(source[i]) - wide(base[i]))
            if low <= magnitude <= high:
                found[count] = magnitude
                count += 1
    return count


@njit(nogil=True, cache=True)
def _count_between(base: Any, source: Any, low: Any, high: Any) -> Any:
    count = _U(0)
    for i in range(base.shape[0]):
        magnitude = abs(wide(source[i]) - wide(base[i]))
        count += _U((magnitude >= low) & (magnitude <= high))
    return count
