"""Turns what the database says of a stage into the progress that a listener is told."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..core.stage import Stage
from ..core.study_spec import ObjectiveSpec
from ..storage import CHECK_PART, CandidateRecord, Store
from .candidate import name_of
from .progress import Listener, Progress
from .ranking import ranked

SOURCES_ANSWER = "the sources answer every item"
"""What is done before the first candidates race."""


class Reporter:
    """Called after each evaluation of a stage; times those of this run, to foresee the rest.

    Args:
        objective: what `best` is the best of.
        whole: how many evaluations the stage has in all.
        races: whether candidates are asked step by step, after the sources have answered every item.
    """

    def __init__(
        self,
        store: Store,
        study_id: str,
        objective: ObjectiveSpec,
        stage: Stage,
        whole: int,
        listener: Listener,
        races: bool = False,
    ) -> None:
        self._store = store
        self._study_id = study_id
        self._objective = objective
        self._stage = stage
        self._whole = whole
        self._listener = listener
        self._races = races
        self._started = time.monotonic()
        self._before = len(self._over(self._records()))
        self._timed = 0
        self._seconds_each: float | None = None

    def __call__(self) -> None:
        """One more evaluation is over."""
        records = self._records()
        over = self._over(records)
        if self._races and not records:
            self._started = time.monotonic()  # how long sources take says nothing of candidates
        new = len(over) - self._before
        # those in a race are over all at once, and what the best are asked later says nothing of candidates
        if new > self._timed and not (self._races and len(over) < len(records)):
            self._timed, self._seconds_each = new, (time.monotonic() - self._started) / new
        seconds_each = self._seconds_each
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
                doing=self._doing(records, over),
                asked=self._asked(records) if self._races else None,
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
        bred = [record for record in over if record.kind == "bred"]
        best = ranked(bred, self._objective, self._stage, cautious=self._races)
        if not best:
            return ""
        found = best[0].measurements[self._stage][self._objective.label]
        return f"{name_of(best[0])}: {found.mean:.3f}" + (f" from {found.items} items" if self._races else "")

    def _doing(self, records: Sequence[CandidateRecord], over: Sequence[CandidateRecord]) -> str:
        if not self._races:
            return ""
        if not records:
            sources = self._store.candidates.all(self._study_id, "reference")
            return f"{SOURCES_ANSWER} ({len(self._over(sources))} of {len(sources)} have)"
        racing = len(records) - len(over)
        if racing > 1:
            return f"{racing} candidates race"
        return "the best are asked more" if len(over) >= self._whole else ""

    def _asked(self, records: Sequence[CandidateRecord]) -> int:
        parts = self._store.queue.parts(self._study_id, self._stage)
        answered = [
            part
            for record in records
            for part in parts.get(record.id, ())
            if part.state == "succeeded" and part.part != CHECK_PART
        ]
        return sum(len(ids) for part in answered for ids in (part.items or {}).values())
