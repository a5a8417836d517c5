"""Watches a worker's canary: when it is due, and what follows if it disagrees with the other workers'."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from ..fitness.canary_distance import agrees, distance
from ..storage import Store
from ..storage.canaries import CanaryRecord

EVERY_EVALUATIONS = 100
EVERY_SECONDS = 1800.0


class CanaryWatch:
    """One worker's canaries, one for each study that it works for.

    Due before the first evaluation of a study, then after every so many evaluations or seconds, whichever comes first.
    A worker that disagrees is `drifted`: it takes nothing more, and what it has found since it last agreed, for any
    study, is taken back where nothing has been built on it yet (`storage/distrust.py`).

    Args:
        worker_id: of a registered worker.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        store: Store,
        worker_id: str,
        every_evaluations: int = EVERY_EVALUATIONS,
        every_seconds: float = EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._worker_id = worker_id
        self._every_evaluations = every_evaluations
        self._every_seconds = every_seconds
        self._clock = clock
        self._since: dict[str, int] = {}
        self._heard_at: dict[str, float] = {}

    def is_due(self, study_id: str) -> bool:
        """Whether the canary is to be asked before this worker evaluates anything more of the study."""
        if study_id not in self._heard_at:
            return True
        waited = self._clock() - self._heard_at[study_id]
        return self._since[study_id] >= self._every_evaluations or waited >= self._every_seconds

    def evaluated(self, study_id: str, count: int = 1) -> None:
        """Counts evaluations of the study that this worker has finished."""
        self._since[study_id] = self._since.get(study_id, 0) + count

    def heard(self, study_id: str, values: Sequence[float], dtype: str) -> bool:
        """Notes what the canary said (`fitness.canary.canary_values`), and what follows.

        Args:
            dtype: what the study's models are built in (`Space.out_dtype`).

        Returns:
            False if this worker has drifted: it is to hand back what it holds, and to end.

        Raises:
            StorageError: the database cannot be written; the canary is still due.
        """
        known = latest_agreeing(self._store.canaries.of(study_id))
        expected = reference(known)
        if expected is None or agrees(values, expected, dtype):
            self._store.canaries.record(study_id, self._worker_id, values, "agrees")
            self._since[study_id], self._heard_at[study_id] = 0, self._clock()
            return True
        reason = (
            f"its canary is off by {distance(values, expected):.2g} (relative, {dtype}) from what "
            f"{len(known)} {'worker' if len(known) == 1 else 'workers'} said; its device, libraries or checkpoints are "
            "not what they were"
        )
        self._store.distrust.drifted(study_id, self._worker_id, values, reason)
        for other in self._heard_at.keys() - {study_id}:
            self._store.distrust.take_back(other, self._worker_id, reason)
        return False


def latest_agreeing(records: Sequence[CanaryRecord]) -> list[tuple[float, ...]]:
    """What each worker's canary said when it last agreed; `records` are oldest first."""
    by_worker = {record.worker_id: record.values for record in records if record.verdict == "agrees"}
    return list(by_worker.values())


def reference(known: Sequence[tuple[float, ...]]) -> tuple[float, ...] | None:
    """What a canary is compared with: the median of what the workers said, figure by figure; None if none has yet."""
    return tuple(median(figures) for figures in zip(*known, strict=True)) if known else None
