"""Turns what the database says of a stage into the progress that a listener is told."""

from __future__ import annotations

import time

from ..core.stage import Stage
from ..core.study_spec import ObjectiveSpec
from ..storage import Store
from ..storage.stage_figures import StageFigure, StageFigures
from .progress import Listener, Progress
from .tally import Tally

SOURCES_ANSWER = "the sources answer every item"
"""What is done before the first candidates race."""
_MEASURED = ("candidate.measured", "candidate.failed")


class Reporter:
    """Called after each evaluation of a stage; times those of this run, to foresee the rest.

    What a call costs does not depend on how many candidates there are.

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
        self._figures = StageFigures(store.database, study_id, stage, objective.label)
        self._tally = Tally(objective, cautious=races)
        self._seen_event = max((event.id for event in store.events.recent(1, study_id)), default=0)
        self._tally.update(self._figures.all())
        self._started = time.monotonic()
        self._before = len(self._tally.over)
        self._timed = 0
        self._seconds_each: float | None = None

    def __call__(self, *evaluation_ids: str) -> None:
        """These evaluations are over; see `Evaluated`."""
        self._tally.update(self._figures.of_evaluations(evaluation_ids))
        known = self._measured_since() if self._races else 0
        tally, over = self._tally, len(self._tally.over)
        if self._races and not known:
            self._started = time.monotonic()  # how long sources take says nothing of candidates
        new = over - self._before
        # those in a race are over all at once, and what the best are asked later says nothing of candidates
        if new > self._timed and not (self._races and over < known):
            self._timed, self._seconds_each = new, (time.monotonic() - self._started) / new
        seconds_each = self._seconds_each
        self._listener(
            Progress(
                stage=self._stage,
                done=over,
                whole=max(self._whole, over),
                failed=len(tally.failed),
                last="" if tally.last is None else _name(tally.last),
                best=self._best(),
                seconds_each=seconds_each,
                seconds_left=None if seconds_each is None else seconds_each * max(self._whole - over, 0),
                doing=self._doing(known, over),
                asked=tally.asked if self._races else None,
            )
        )

    def _measured_since(self) -> int:
        """Takes in which candidates were measured anew, as the best are more than once; how many there are."""
        changed: set[str] = set()
        while events := self._store.events.all(self._study_id, after=self._seen_event):
            self._seen_event = events[-1].id
            changed |= {event.subject_id for event in events if event.type in _MEASURED}
        self._tally.update(self._figures.of_candidates(sorted(changed)))
        return self._store.candidates.count(self._study_id)

    def _best(self) -> str:
        if self._tally.best is None:
            return ""
        figure, value = self._tally.best
        return f"{_name(figure)}: {value.mean:.3f}" + (f" from {value.items} items" if self._races else "")

    def _doing(self, known: int, over: int) -> str:
        if not self._races:
            return ""
        if not known:
            sources = self._store.candidates.all(self._study_id, "reference")
            done = sum(source.is_over(self._stage) for source in sources)
            return f"{SOURCES_ANSWER} ({done} of {len(sources)} have)"
        if known - over > 1:
            return f"{known - over} candidates race"
        return "the best are asked more" if over >= self._whole else ""


def _name(figure: StageFigure) -> str:
    return figure.label if figure.label is not None else f"candidate {figure.number}"
