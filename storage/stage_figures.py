"""How candidates stand at a stage, for who watches it: a few numbers of each, read by what has changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Row, and_, bindparam, or_, select

from ..core.estimate import Estimate
from .database import Database
from .look_up import in_portions
from .records import CHECK_PART, CandidateKind, EvaluationState, Stage
from .tables import candidates, evaluations, measurements


@dataclass(frozen=True)
class StageFigure:
    """A candidate as one of its evaluations at the stage, or of the parts of it, left it.

    Attributes:
        number, label: of the candidate; see `CandidateRecord`.
        failed: whether the evaluation or its candidate failed, or it was cancelled.
        value: of the objective, or None if it is not measured.
        items: how many items it answered in this evaluation, where those were chosen; else 0, and 0 for a check.
        screened_out: whether it was asked few items, and will be asked no more because others did better there.
    """

    evaluation_id: str
    candidate_id: str
    kind: CandidateKind
    number: int | None
    label: str | None
    failed: bool
    finished_at: datetime | None
    value: Estimate | None
    items: int
    screened_out: bool = False

    @property
    def is_over(self) -> bool:
        """Whether all that is to be known of the candidate at the stage is known."""
        return self.failed or self.screened_out or self.value is not None


class StageFigures:
    """Reads the figures of one objective at one stage of a study, in one statement whatever the size of the study."""

    def __init__(self, database: Database, study_id: str, stage: Stage, objective: str) -> None:
        self._database = database
        self._stage = stage
        self._values = {"study": study_id, "stage": stage, "objective": objective}

    def all(self) -> list[StageFigure]:
        """Of every evaluation at the stage."""
        return [self._figure(row) for row in self._database.rows(_ALL, self._values)]

    def of_evaluations(self, evaluation_ids: Sequence[str]) -> list[StageFigure]:
        """Of these evaluations, leaving out those of other stages."""
        return self._of(_OF_EVALUATIONS, evaluation_ids)

    def of_candidates(self, candidate_ids: Sequence[str]) -> list[StageFigure]:
        """Of all the evaluations of these candidates at the stage."""
        return self._of(_OF_CANDIDATES, candidate_ids)

    def _of(self, query: Any, ids: Sequence[str]) -> list[StageFigure]:
        return [
            self._figure(row)
            for portion in in_portions(ids)
            for row in self._database.rows(query, {**self._values, "ids": portion})
        ]

    def _figure(self, row: Row[Any]) -> StageFigure:
        state: EvaluationState = row.state
        value = None
        if row.value is not None:
            error = math.nan if row.standard_error is None else row.standard_error
            value = Estimate(row.value, error, row.measured_items)
        answered = state == "succeeded" and row.part != CHECK_PART
        return StageFigure(
            evaluation_id=row.id,
            candidate_id=row.candidate_id,
            kind=row.kind,
            number=row.number,
            label=row.label,
            failed=state in ("failed", "cancelled") or (self._stage == "search" and row.candidate_state == "failed"),
            finished_at=row.finished_at,
            value=value,
            items=sum(map(len, (row.items_json or {}).values())) if answered else 0,
            screened_out=self._stage == "search" and row.candidate_state == "complete" and value is None,
        )


_MEASURED = and_(
    measurements.c.candidate_id == candidates.c.id,
    measurements.c.stage == bindparam("stage"),
    measurements.c.objective == bindparam("objective"),
)
_FIGURES = (
    select(
        evaluations.c.id,
        evaluations.c.candidate_id,
        evaluations.c.part,
        evaluations.c.items_json,
        evaluations.c.state,
        evaluations.c.finished_at,
        candidates.c.kind,
        candidates.c.number,
        candidates.c.label,
        candidates.c.state.label("candidate_state"),
        measurements.c.value,
        measurements.c.standard_error,
        measurements.c["items"].label("measured_items"),
    )
    .select_from(
        evaluations.join(candidates, candidates.c.id == evaluations.c.candidate_id).outerjoin(measurements, _MEASURED)
    )
    .where(evaluations.c.stage == bindparam("stage"))
    .where(or_(candidates.c.kind == "bred", bindparam("stage") == "test"))
    .order_by(evaluations.c.id)
)
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_ALL = _FIGURES.where(candidates.c.study_id == bindparam("study"))
_OF_EVALUATIONS = _FIGURES.where(evaluations.c.id.in_(_IDS))
_OF_CANDIDATES = _FIGURES.where(evaluations.c.candidate_id.in_(_IDS))
