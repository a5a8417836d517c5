"""Workers as others see them: those that left, and those that fell silent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from .monitor_records import Subject, WorkerSeen
from .owners import is_dead
from .tables import candidates, evaluations, events, studies, workers

_REMEMBERED = timedelta(days=1)
_PRESENT = ("up", "draining", "drifted")


def seen_workers(connection: Connection, now: datetime, silent_seconds: float, gone: int) -> list[WorkerSeen]:
    """Those that are there or were lost within a day, and the latest `gone` of the others, by host and start."""
    silent_since = now - timedelta(seconds=silent_seconds)
    present = workers.c.state.in_(_PRESENT)
    recent = workers.c.last_seen_at >= min(silent_since, now - _REMEMBERED)
    rows = list(connection.execute(_query().where(present, recent)))
    if gone:
        left = or_(workers.c.state == "gone", workers.c.last_seen_at < min(silent_since, now - _REMEMBERED))
        latest = _query().where(left).order_by(workers.c.last_seen_at.desc(), workers.c.id.desc())
        rows += connection.execute(latest.limit(gone))
    refused = _refused(connection, [row.id for row in rows if row.state != "gone"])
    found = [_seen(row, now, silent_since, refused[row.id]) for row in rows]
    return sorted(found, key=lambda worker: (worker.state == "gone", worker.host, worker.started_at, worker.id))


def owner_place(owner: str) -> tuple[str, int | None]:
    """Host and process id of an owner (`owners.this_process`); any other name is taken for a host."""
    parts = owner.rsplit(":", 3)
    return (parts[0], int(parts[2])) if len(parts) == 4 and parts[2].isdigit() else (owner, None)


def _query() -> Any:
    now_evaluated = (
        candidates.c.number,
        candidates.c.label,
        evaluations.c.stage,
        evaluations.c.part,
        studies.c.name.label("study"),
    )
    return (
        select(workers, *now_evaluated)
        .outerjoin(evaluations, evaluations.c.id == workers.c.evaluation_id)
        .outerjoin(candidates, candidates.c.id == evaluations.c.candidate_id)
        .outerjoin(studies, studies.c.id == candidates.c.study_id)
    )


def _refused(connection: Connection, ids: Sequence[str]) -> Mapping[str, dict[str, str]]:
    """By worker and name of a study that is running, why the worker cannot evaluate it."""
    running = select(studies.c.id).where(studies.c.state == "running")
    query = (
        select(events.c.subject_id, studies.c.name, events.c.payload_json)
        .join(studies, studies.c.id == events.c.study_id)
        .where(events.c.study_id.in_(running), events.c.type == "worker.refused", events.c.subject_id.in_(tuple(ids)))
    )
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in connection.execute(query):
        found[row.subject_id][row.name] = str(row.payload_json.get("reason", ""))
    return found


def _seen(row: Row[Any], now: datetime, silent_since: datetime, refused: Mapping[str, str]) -> WorkerSeen:
    silent = row.last_seen_at < silent_since or is_dead(row.owner)
    evaluation = None
    if row.study is not None:
        name = row.label if row.number is None else f"candidate {row.number}"
        evaluation = Subject(row.evaluation_id, row.study, name, row.number, row.stage, row.part)
    return WorkerSeen(
        id=row.id,
        owner=row.owner,
        host=row.host,
        pid=row.pid,
        kind=row.kind,
        version=row.version,
        queues=tuple(row.queues_json),
        device=row.device_json,
        state="lost" if silent and row.state != "gone" else row.state,
        reason=row.reason,
        evaluation=evaluation,
        done=row.done,
        failed=row.failed,
        refused=refused,
        started_at=row.started_at,
        last_seen_at=row.last_seen_at,
        silent_seconds=(now - row.last_seen_at).total_seconds(),
    )
