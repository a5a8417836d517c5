"""Candidates that were asked the same items are estimated together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...core.contracts.estimator import Matrix, Places


def asked_sets(responses: Matrix) -> Iterator[tuple[Places, Places]]:
    """Yields (candidates, items): rows that have the same gaps, and the columns in which they have none."""
    asked = ~np.isnan(responses)
    _, first, which = np.unique(np.packbits(asked, axis=1), axis=0, return_index=True, return_inverse=True)
    for number, row in enumerate(first):
        yield np.flatnonzero(which.reshape(-1) == number), np.flatnonzero(asked[row])
