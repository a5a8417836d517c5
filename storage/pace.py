"""How fast evaluations went lately: what schedulers foresee others by."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from .database import Database
from .records import Stage
from .tables import candidates, evaluations

RECENT = 300


@dataclass(frozen=True)
class Pace:
    """An evaluation that succeeded lately; `seconds` from its claim to its end by `worker` (an owner)."""

    worker: str
    study_id: str
    stage: Stage
    seconds: float


def recent_paces(database: Database, limit: int = RECENT) -> list[Pace]:
    """The last that succeeded, latest first."""
    query = (
        select(evaluations.c.worker, evaluations.c.stage, evaluations.c.started_at, evaluations.c.finished_at)
        .add_columns(candidates.c.study_id)
        .join(candidates, candidates.c.id == evaluations.c.candidate_id)
        .where(evaluations.c.state == "succeeded", evaluations.c.finished_at.is_not(None))
        .order_by(evaluations.c.finished_at.desc())
        .limit(limit)
    )
    with database.read() as connection:
        return [
            Pace(row.worker, row.study_id, row.stage, (row.finished_at - row.started_at).total_seconds())
            for row in connection.execute(query)
            if row.started_at is not None
        ]
