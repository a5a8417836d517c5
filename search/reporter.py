"""Turns what the database says of a stage into the progress that a listener is told."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..core.stage import Stage
from ..core.study_spec import ObjectiveSpec
from ..storage import CandidateRecord, Store
from .candidate import name_of
from .progress import Listener, Progress
from .ranking import ranked


class Reporter:
    """Called after each evaluation of a stage; times those of this run, to foresee the rest.

    Args:
        objective: what `best` is the best of.
        whole: how many evaluations the stage has in all.
    """

    def __init__(
        self, store: Store, study_id: str, objective: ObjectiveSpec, stage: Stage, whole: int, listener: Listener
    ) -> None:
        self._store = store
        self._study_id = study_id
        self._objective = objective
        self._stage = stage
        self._whole = whole
        self._listener = listener
        self._started = time.monotonic()
        self._before = len(self._over(self._records()))

    def __call__(self) -> None:
        """One more evaluation is over."""
        over = self._over(self._records())
        new = len(over) - self._before
        seconds_each = (time.monotonic() - self._started) / new if new > 0 else None
        self._listener(
            Progress(
                stage=self._stage,
                done=len(over),
                whole=max(self._whole, len(over)),
                failed=sum(not record.measurements.get(self._stage) for record in over),
                last=self._last(over),
                best=self._best(over),
                seconds_each=seconds_each,
                seconds_left=None if seconds_each is None else seconds_each * max(self._whole - len(over), 0),
            )
        )

    def _records(self) -> list[CandidateRecord]:
        return self._store.candidates.all(self._study_id, None if self._stage == "test" else "bred")

    def _over(self, records: Sequence[CandidateRecord]) -> list[CandidateRecord]:
        return [record for record in records if record.is_over(self._stage)]

    def _last(self, over: Sequence[CandidateRecord]) -> str:
        if not over:
            return ""
        return name_of(max(over, key=lambda record: record.evaluations[self._stage].finished_at or record.created_at))

    def _best(self, over: Sequence[CandidateRecord]) -> str:
        best = ranked([record for record in over if record.kind == "bred"], self._objective, self._stage)
        if not best:
            return ""
        return f"{name_of(best[0])}: {best[0].measurements[self._stage][self._objective.label].mean:.3f}"
