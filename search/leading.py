"""Leading a study: one process at a time asks its optimizer and tells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..core.errors import StorageError
from ..storage import Heartbeat, Store, this_process
from ..storage.leads import LEAD_SECONDS


@contextmanager
def leading(store: Store, study_id: str) -> Iterator[Store]:
    """Leads a study while the block runs; gives the store for what a leader writes.

    Raises:
        StorageError: another process leads the study, or (in the block, where it writes) does so since.
    """
    epoch = store.leads.acquire(study_id, this_process(), LEAD_SECONDS)
    try:
        with Heartbeat(lambda: store.leads.renew(study_id, epoch, LEAD_SECONDS), LEAD_SECONDS):
            yield store.led(study_id, epoch)
    finally:
        with suppress(StorageError):  # then the lease ends by itself
            store.leads.release(study_id, epoch)
