"""Rows of `evaluations`: how they are made, and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from .events import append
from .ids import new_id
from .inserts import insert_missing
from .records import EvaluationRecord, Stage
from .tables import evaluations

MAX_ATTEMPTS = 3
UNASSIGNED = "default"
"""The queue of what no executor has given to workers: it is claimed by its id only."""


def new_evaluation(
    connection: Connection,
    now: datetime,
    candidate_id: str,
    stage: Stage,
    eval_key: str,
    part: int = 0,
    items: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Queues an evaluation, unless the candidate has this part at this stage."""
    row = evaluation_row(now, candidate_id, stage, eval_key, part, items)
    if insert_missing(connection, evaluations, [row]):
        payload = queued_payload(stage, part)
        append(connection, now, "evaluation.queued", str(row["id"]), candidate_id=candidate_id, payload=payload)


def evaluation_row(
    now: datetime,
    candidate_id: str,
    stage: Stage,
    eval_key: str,
    part: int = 0,
    items: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The row of an evaluation that nobody has claimed yet."""
    return {
        "id": new_id(),
        "candidate_id": candidate_id,
        "stage": stage,
        "part": part,
        "items_json": None if items is None else {task: list(ids) for task, ids in items.items()},
        "eval_key": eval_key,
        "queue": UNASSIGNED,
        "priority": 0,
        "state": "queued",
        "attempt": 0,
        "max_attempts": MAX_ATTEMPTS,
        "publish_count": 0,
        "created_at": now,
    }


def queued_payload(stage: Stage, part: int = 0) -> dict[str, Any]:
    """What the event says of an evaluation that is queued."""
    return {"stage": stage, "part": part} if part else {"stage": stage}


def evaluation_record(row: Row[Any]) -> EvaluationRecord:
    """The record of a row of `evaluations`."""
    return EvaluationRecord(
        id=row.id,
        candidate_id=row.candidate_id,
        stage=row.stage,
        part=row.part,
        items=None if row.items_json is None else {task: tuple(ids) for task, ids in row.items_json.items()},
        eval_key=row.eval_key,
        state=row.state,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        lease_owner=row.lease_owner,
        lease_expires_at=row.lease_expires_at,
        worker=row.worker,
        queue=row.queue,
        priority=row.priority,
        company=row.company,
        need_bytes=row.need_bytes,
        cancel_requested_at=row.cancel_requested_at,
        error_kind=row.error_kind,
        error_text=row.error_text,
        seconds=row.seconds_json or {},
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
