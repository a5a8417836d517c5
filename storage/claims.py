"""Claiming: one conditional update, of which any number may be tried at the same moment and one succeeds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, insert, literal, or_, select, update

from .column_types import UtcDateTime
from .evaluations import evaluation_record
from .events import append
from .records import Ending, EvaluationRecord
from .tables import attempts, candidates, evaluations, studies
from .transitions import end_attempts, move_candidate

HEAD = 64
"""So many of those that wait are offered for a choice."""


@dataclass(frozen=True)
class Waiting:
    """An evaluation that waits, and what a worker may choose it by.

    Attributes:
        candidate: `candidate 7`, or the label of a reference.
        genome: of its candidate, as JSON text; None for a reference.
        waited_seconds: since it was queued first.
    """

    evaluation: EvaluationRecord
    study_id: str
    candidate: str
    genome: str | None
    waited_seconds: float


Chooser: TypeAlias = Callable[[Sequence[Waiting]], Waiting | None]


def waiting_for(
    connection: Connection,
    now: datetime,
    queues: Collection[str],
    besides: Collection[str],
    only: Collection[str] | None,
) -> list[Waiting]:
    """The head of these queues, locked for this transaction; what others have locked is left out (PostgreSQL)."""
    query = (
        select(evaluations, candidates.c.study_id, candidates.c.number, candidates.c.label, candidates.c.genome_json)
        .join(candidates, candidates.c.id == evaluations.c.candidate_id)
        .join(studies, studies.c.id == candidates.c.study_id)
        .where(
            evaluations.c.state == "queued",
            evaluations.c.queue.in_(tuple(queues)),
            _claimable(literal(now, UtcDateTime)),
        )
        .where(studies.c.state == "running")
        .order_by(evaluations.c.priority.desc(), evaluations.c.id)
        .limit(HEAD)
        .with_for_update(of=evaluations, skip_locked=True)
    )
    if besides:
        query = query.where(candidates.c.study_id.not_in(tuple(besides)))
    if only is not None:
        query = query.where(candidates.c.study_id.in_(tuple(only)))
    return [
        Waiting(
            evaluation_record(row),
            row.study_id,
            row.label or f"candidate {row.number}",
            row.genome_json,
            (now - row.created_at).total_seconds(),
        )
        for row in connection.execute(query)
    ]


def claim_row(
    connection: Connection, now: datetime, evaluation_id: str, owner: str, lease_seconds: float
) -> Row[Any] | None:
    """Takes a waiting or abandoned evaluation, raising its attempt number; its row, or None if it is not to be had."""
    until = now + timedelta(seconds=lease_seconds)
    row = connection.execute(
        _CLAIM, {"claimed": evaluation_id, "now": now, "owner": owner, "until": until}
    ).one_or_none()
    if row is None:
        return None
    if row.attempt > 1:
        end_attempts(connection, now, evaluation_id, row.attempt - 1, Ending("lost"))
    new = {"evaluation_id": evaluation_id, "attempt": row.attempt, "worker": owner, "started_at": now}
    connection.execute(_ATTEMPT, new)
    move_candidate(connection, row.candidate_id, "evaluating")
    payload = {"attempt": row.attempt, "worker": owner}
    append(connection, now, "evaluation.started", evaluation_id, candidate_id=row.candidate_id, payload=payload)
    return row


def _claimable(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    return and_(
        or_(
            evaluations.c.state == "queued",
            and_(evaluations.c.state == "running", evaluations.c.lease_expires_at < now),
        ),
        evaluations.c.attempt < evaluations.c.max_attempts,
        or_(evaluations.c.not_before.is_(None), evaluations.c.not_before <= now),
        evaluations.c.cancel_requested_at.is_(None),
    )


# Built once: these are what claims are made of, and building a statement takes as long as executing it.
_NOW = bindparam("now", type_=UtcDateTime)
_CLAIM = (
    update(evaluations)
    .where(evaluations.c.id == bindparam("claimed"), _claimable(_NOW))
    .values(
        state="running",
        attempt=evaluations.c.attempt + 1,
        lease_owner=bindparam("owner"),
        lease_expires_at=bindparam("until"),
        worker=bindparam("owner"),
        started_at=_NOW,
        progress=None,
    )
    .returning(evaluations)
)
_ATTEMPT = insert(attempts)
