"""Ids: 26 characters (ULID), unique over machines; one process's ids sort in the order they were made."""

from __future__ import annotations

import secrets
import threading
import time

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """48 bits of milliseconds since 1970 and 80 random bits, in Crockford's base 32.

    >>> first, second = new_id(), new_id()
    >>> first < second
    True
    """
    global _last
    with _lock:
        fresh = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
        # A random step, not 1: after a fork two processes go on from the same place.
        _last = fresh if fresh > _last else _last + 1 + secrets.randbits(64)
        number = _last
    return "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))
