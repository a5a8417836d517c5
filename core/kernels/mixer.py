"""The draws of core/draws.py, one element at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_U = np.uint32


@njit(inline="always")
def mixed(number: Any, seed: Any, second: Any) -> Any:
    """The uniform integer in [0, 2^32) that element `number` draws; all arguments are uint32."""
    x = _U(number ^ seed)
    x = _U(_U(x ^ (x >> _U(16))) * _U(0x7FEB352D)) ^ second
    x = _U(_U(x ^ (x >> _U(15))) * _U(0x846CA68B))
    return _U(x ^ (x >> _U(16)))
