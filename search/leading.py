"""Leading a study: one process at a time asks its optimizer and tells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..core.errors import StorageError
from ..storage import Heartbeat, Store, this_process
from ..storage.leads import LEAD_SECONDS

_unreleased: dict[tuple[str, str], int] = {}
"""Epochs that this process could not give back (a full disk), by database and study: it gives them back before it leads
again, or it would have to wait for itself."""


@contextmanager
def leading(store: Store, study_id: str) -> Iterator[Store]:
    """Leads a study while the block runs; gives the store for what a leader writes.

    Raises:
        StorageError: another process leads the study, or (in the block, where it writes) does so since.
    """
    here = (store.database.where, study_id)
    if here in _unreleased:
        store.leads.release(study_id, _unreleased[here])
        del _unreleased[here]
    epoch = store.leads.acquire(study_id, this_process(), LEAD_SECONDS)
    try:
        with Heartbeat(lambda: store.leads.renew(study_id, epoch, LEAD_SECONDS), LEAD_SECONDS):
            yield store.led(study_id, epoch)
    finally:
        try:
            store.leads.release(study_id, epoch)
        except StorageError:  # then the lease ends by itself
            _unreleased[here] = epoch
