"""Seeds: one per study, split by purpose, so that no two uses of chance share a stream."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=1 << 16)
def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2^32) for one purpose: the same study seed and purpose always give the same one.

    >>> derived_seed(7, "optimizer") == derived_seed(7, "optimizer")
    True
    """
    label = hashlib.sha256("/".join(str(part) for part in purpose).encode()).digest()
    sequence = np.random.SeedSequence([seed, *np.frombuffer(label, dtype=np.uint32).tolist()])
    return int(sequence.generate_state(1)[0])
