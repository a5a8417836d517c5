"""Drops what compiled libraries print to standard output behind Python's back."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ONE_AT_A_TIME = threading.Lock()
_STDOUT = 1


@contextmanager
def native_output_dropped() -> Iterator[None]:
    """Meanwhile nothing reaches the process's standard output, from whatever thread: for short calls only.

    Where the process has none, nothing changes.
    """
    with _ONE_AT_A_TIME:
        sys.stdout.flush()
        try:
            kept = os.dup(_STDOUT)
        except OSError:
            yield
            return
        try:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), _STDOUT)
            yield
        finally:
            with suppress(OSError, AttributeError, TypeError):  # no C library by that name
                ctypes.CDLL(None).fflush(None)
            os.dup2(kept, _STDOUT)
            os.close(kept)
