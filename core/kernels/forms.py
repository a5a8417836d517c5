"""The forms of core/forms.py as kernels: blocks that stay in the first cache, and one loop over the sources in each.

The number of sources is known when numba compiles (they come as a tuple), so that the inner loops over them are
unrolled. Every loop over elements has a function of its own: only such loops does LLVM turn into vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .elements import exponent, is_finite, narrow, wide
from .mixer import mixed

BLOCK = 2048
_ZERO, _ONE = np.float32(0), np.float32(1)


@njit(nogil=True, cache=True)
def weighted_sum(sources: Any, weights: Any, out: Any) -> bool:
    """out = sum_i weights_i sources_i; false if a value is not finite.

    Args:
        sources: a tuple of arrays of one dtype, as `elements.array` gives them.
        weights: float32, one for each source.
    """
    count = out.shape[0]
    total = np.empty(BLOCK, np.float32)
    largest = np.uint32(0)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        total[:] = _ZERO
        for number in range(len(sources)):
            _add(sources[number][start:stop], weights[number], total)
        largest = max(largest, _store(total, out[start:stop]))
    return is_finite(largest)


@njit(nogil=True, cache=True)
def task_vector_sum(
    base: Any,
    sources: Any,
    weights: Any,
    terms: Any,
    draws: Any,
    divisor: Any,
    factor: Any,
    first: Any,
    changes: Any,
    out: Any,
) -> bool:
    """out = base + factor / divisor * sum_i (terms applied to sources_i - base); false if one is not finite.

    Args:
        weights: float32, one for each source.
        terms: float32, a row (low, high, scale) for each source.
        draws: int64, a row (limit, seed, second seed) for each source.
        divisor: float32, not 0.
        first: number of the first element, from which draws count.
        changes: room to work in: a tuple with an array of BLOCK float32 for each source.
    """
    count = out.shape[0]
    largest = np.uint32(0)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        origin = base[start:stop]
        for number in range(len(sources)):
            change = changes[number][: stop - start]
            _change(sources[number][start:stop], origin, terms[number], draws[number], first + start, change)
        largest = max(largest, _store_sum(origin, changes, weights, divisor, factor, out[start:stop]))
    return is_finite(largest)


@njit(nogil=True, cache=True)
def agreed_sum(
    base: Any,
    sources: Any,
    weights: Any,
    terms: Any,
    draws: Any,
    normalize: Any,
    factor: Any,
    first: Any,
    changes: Any,
    out: Any,
) -> bool:
    """As `task_vector_sum`, but an element counts only where it has the sign of the sum of all.

    Args:
        normalize: whether each element is divided by the weights of the sources that count there.
    """
    count = out.shape[0]
    shares = weights if normalize else np.zeros_like(weights)
    largest = np.uint32(0)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        origin = base[start:stop]
        for number in range(len(sources)):
            change = changes[number][: stop - start]
            _change(sources[number][start:stop], origin, terms[number], draws[number], first + start, change)
        largest = max(largest, _store_agreed(origin, changes, weights, shares, factor, out[start:stop]))
    return is_finite(largest)


@njit(nogil=True, cache=True)
def _add(source: Any, weight: Any, total: Any) -> None:
    for i in range(source.shape[0]):
        total[i] += wide(source[i]) * weight


@njit(nogil=True, cache=True)
def _store(total: Any, out: Any) -> Any:
    largest = np.uint32(0)
    for i in range(out.shape[0]):
        largest = max(largest, exponent(total[i]))
        out[i] = narrow(total[i], out)
    return largest


@njit(nogil=True, cache=True)
def _store_sum(origin: Any, changes: Any, weights: Any, divisor: Any, factor: Any, out: Any) -> Any:
    largest = np.uint32(0)
    for i in range(out.shape[0]):
        total = _ZERO
        for number in range(len(changes)):
            total += changes[number][i] * weights[number]
        value = total / divisor * factor + wide(origin[i])
        largest = max(largest, exponent(value))
        out[i] = narrow(value, out)
    return largest


@njit(nogil=True, cache=True)
def _store_agreed(origin: Any, changes: Any, weights: Any, shares: Any, factor: Any, out: Any) -> Any:
    largest = np.uint32(0)
    for i in range(out.shape[0]):
        elected = _ZERO
        for number in range(len(changes)):
            elected += changes[number][i] * weights[number]
        sign = _ONE if elected >= _ZERO else -_ONE
        total = elected - elected  # 0, or not a number if one of them is none
        divisor = _ZERO
        for number in range(len(changes)):
            change = changes[number][i] * weights[number]
            counts = change * sign > _ZERO
            total += change if counts else _ZERO
            divisor += shares[number] if counts else _ZERO
        value = total / (_ONE if divisor == _ZERO else divisor) * factor + wide(origin[i])
        largest = max(largest, exponent(value))
        out[i] = narrow(value, out)
    return largest


@njit(nogil=True, cache=True)
def _change(source: Any, origin: Any, term: Any, draw: Any, first: Any, change: Any) -> None:
    """What the term keeps of source - origin, scaled; what is not a number is never dropped."""
    low, high, scale = term[0], term[1], term[2]
    if low > _ZERO or high < np.inf:
        _subtract_within(source, origin, low, high, scale, change)
    else:
        _subtract(source, origin, scale, change)
    if draw[0] < 1 << 32:
        _draw(np.uint32(draw[0]), np.uint32(draw[1]), np.uint32(draw[2]), np.uint32(first & 0xFFFFFFFF), change)


@njit(nogil=True, cache=True)
def _subtract(source: Any, origin: Any, scale: Any, change: Any) -> None:
    for i in range(source.shape[0]):
        change[i] = (wide(source[i]) - wide(origin[i])) * scale


@njit(nogil=True, cache=True)
def _subtract_within(source: Any, origin: Any, low: Any, high: Any, scale: Any, change: Any) -> None:
    for i in range(source.shape[0]):
        whole = wide(source[i]) - wide(origin[i])
        kept = _ZERO if (abs(whole) < low) | (abs(whole) > high) else _ONE
        change[i] = whole * kept * scale


@njit(nogil=True, cache=True)
def _draw(below: Any, seed: Any, second: Any, first: Any, change: Any) -> None:
    for i in range(change.shape[0]):
        change[i] *= _ONE if mixed(np.uint32(first + np.uint32(i)), seed, second) < below else _ZERO
