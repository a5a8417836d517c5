"""The forms of core/forms.py as kernels: one loop over the elements, everything in registers.

Sources come as a tuple, so that numba knows their number when it compiles and unrolls the loops over them; what is
None is compiled away. A value that is only needed sometimes is loaded always: LLVM makes no vector instructions
of a loop with conditional loads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .elements import exponent, is_finite, narrow, wide
from .mixer import mixed

_U = np.uint32
_ZERO, _ONE = np.float32(0), np.float32(1)


@njit(nogil=True, cache=True)
def weighted_sum(sources: Any, weights: Any, out: Any) -> Any:
    """out = sum_i weights_i sources_i; false if a value is not finite.

    Args:
        sources: a tuple of arrays of one dtype, as `elements.array` gives them.
        weights: float32, one for each source.
    """
    largest = _U(0)
    for i in range(out.shape[0]):
        total = wide(sources[0][i]) * weights[0]
        for number in range(1, len(sources)):
            total += wide(sources[number][i]) * weights[number]
        stored = narrow(total, out)
        largest = max(largest, exponent(total), exponent(wide(stored)))
        out[i] = stored
    return is_finite(largest)


@njit(nogil=True, cache=True)
def task_vector_sum(
    base: Any,
    sources: Any,
    weights: Any,
    bounds: Any,
    draws: Any,
    scales: Any,
    divisor: Any,
    factor: Any,
    first: Any,
    out: Any,
) -> Any:
    """out = base + factor / divisor * sum_i (terms applied to sources_i - base); false if a value is not finite.

    Args:
        base: an array; its dtype may differ from the sources'.
        weights: float32, one for each source.
        bounds: float32, a row (low, high) for each source; None if nothing is bounded.
        draws: uint32, a row (highest number that is drawn, seed, second seed) for each source; None if all is kept.
        scales: float32, one for each source; None if they are 1.
        divisor, factor: float32.
        first: uint32, number of the first element, from which draws count.
    """
    largest = _U(0)
    for i in range(out.shape[0]):
        origin, total = wide(base[i]), _ZERO
        for number in range(len(sources)):
            change = wide(sources[number][i]) - origin
            total += thinned(change, number, bounds, draws, scales, _U(first + _U(i))) * weights[number]
        value = total / divisor * factor + origin
        stored = narrow(value, out)
        largest = max(largest, exponent(value), exponent(wide(stored)))
        out[i] = stored
    return is_finite(largest)


@njit(nogil=True, cache=True)
def agreed_sum(
    base: Any,
    sources: Any,
    weights: Any,
    bounds: Any,
    draws: Any,
    scales: Any,
    shares: Any,
    factor: Any,
    first: Any,
    out: Any,
) -> Any:
    """As `task_vector_sum`, but an element counts only where it has the sign of the sum of all.

    Args:
        shares: float32, one for each source; each element is divided by the sum of those of the sources that count
            there, unless that is 0.
    """
    largest = _U(0)
    for i in range(out.shape[0]):
        origin, total, up, down, share_up, share_down = wide(base[i]), _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
        for number in range(len(sources)):
            change = wide(sources[number][i]) - origin
            change = thinned(change, number, bounds, draws, scales, _U(first + _U(i))) * weights[number]
            share = shares[number]
            total += change
            up += change if change > _ZERO else _ZERO
            down += change if change < _ZERO else _ZERO
            share_up += share if change > _ZERO else _ZERO
            share_down += share if change < _ZERO else _ZERO
        positive = total >= _ZERO
        divisor = share_up if positive else share_down
        agreed = (up if positive else down) + (total - total)  # what is not a number stays none
        value = agreed / (_ONE if divisor == _ZERO else divisor) * factor + origin
        stored = narrow(value, out)
        largest = max(largest, exponent(value), exponent(wide(stored)))
        out[i] = stored
    return is_finite(largest)


@njit(inline="always")
def thinned(change: Any, number: Any, bounds: Any, draws: Any, scales: Any, element: Any) -> Any:
    """What a term keeps of a change, scaled; what is not a number is never dropped."""
    if bounds is not None:
        magnitude = abs(change)
        change *= _ZERO if (magnitude < bounds[number, 0]) | (magnitude > bounds[number, 1]) else _ONE
    if draws is not None:
        change *= _ONE if mixed(element, draws[number, 1], draws[number, 2]) <= draws[number, 0] else _ZERO
    if scales is not None:
        change *= scales[number]
    return change
