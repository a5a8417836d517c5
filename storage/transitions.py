"""The steps in the life of an evaluation that several rules share; each is fenced by the attempt number."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, and_, bindparam, select, update

from .events import append
from .records import CandidateState, Ending
from .tables import attempts, candidates, evaluations

ERROR_BYTES = 8192
_TAIL_IN_REASON = 2000
_WHY = {
    "lost": "its worker was lost",
    "memory": "memory ran out",
    "timeout": "the time limit was reached",
}

# Every evaluation takes these steps; built once, a statement costs half as much.
_END_ATTEMPTS = (
    update(attempts)
    .where(
        attempts.c.evaluation_id == bindparam("of_evaluation"),
        attempts.c.attempt <= bindparam("up_to"),
        attempts.c.outcome.is_(None),
    )
    .values({name: bindparam(name) for name in ("outcome", "ended_at", "exit_signal", "peak_bytes", "log_tail")})
)
_MOVE_CANDIDATE = (
    update(candidates)
    .where(candidates.c.id == bindparam("moved"), candidates.c.state.in_(("proposed", "evaluating")))
    .values(state=bindparam("state"), failure=bindparam("failure"))
)


def holds(evaluation_id: str | BindParameter[str], attempt: int | BindParameter[int]) -> ColumnElement[bool]:
    """The condition that an evaluation is running as this very attempt."""
    return and_(evaluations.c.id == evaluation_id, evaluations.c.attempt == attempt, evaluations.c.state == "running")


def lose(
    connection: Connection, now: datetime, seen: Row[Any], ending: Ending, *conditions: ColumnElement[bool]
) -> bool:
    """An attempt that came to nothing: queued again while attempts are left, failed for good after the last.

    Args:
        seen: the row of `evaluations` as it was read: id, attempt, max_attempts.

    Returns:
        False if the attempt does not hold the evaluation, and nothing is written.
    """
    if seen.attempt < seen.max_attempts:
        return requeue(connection, now, seen.id, seen.attempt, ending, *conditions)
    query = select(attempts.c.worker).where(attempts.c.evaluation_id == seen.id).order_by(attempts.c.attempt)
    workers = ", ".join(connection.scalars(query))
    reason = f"{_WHY.get(ending.outcome, _WHY['lost'])} {seen.attempt} times ({workers})"
    if ending.outcome != "timeout":
        reason += "; it may need more memory than there is"
    if ending.exit_signal is not None:
        reason += f". Signal {ending.exit_signal} ended the last"
    if ending.log_tail:
        reason += f". The last that it wrote: {ending.log_tail[-_TAIL_IN_REASON:]}"
    return fail_evaluation(connection, now, seen.id, seen.attempt, ending.outcome, reason, ending, *conditions)


def requeue(
    connection: Connection,
    now: datetime,
    evaluation_id: str,
    attempt: int,
    ending: Ending,
    *conditions: ColumnElement[bool],
) -> bool:
    """Running to queued; False if the attempt does not hold the evaluation, and nothing is written."""
    # The number of an attempt is its fence and never goes back, so one that does not count raises the limit instead.
    uncounted = 1 if ending.outcome == "released" else 0
    candidate_id = connection.scalars(
        update(evaluations)
        .where(holds(evaluation_id, attempt), *conditions)
        .values(
            state="queued",
            lease_owner=None,
            lease_expires_at=None,
            published_at=None,
            progress=None,
            max_attempts=evaluations.c.max_attempts + uncounted,
        )
        .returning(evaluations.c.candidate_id)
    ).one_or_none()
    if candidate_id is None:
        return False
    end_attempts(connection, now, evaluation_id, attempt, ending)
    payload = {"attempt": attempt}
    append(connection, now, f"evaluation.{ending.outcome}", evaluation_id, candidate_id=candidate_id, payload=payload)
    return True


def fail_evaluation(
    connection: Connection,
    now: datetime,
    evaluation_id: str,
    attempt: int,
    kind: str,
    reason: str,
    ending: Ending,
    *conditions: ColumnElement[bool],
) -> bool:
    """Running to failed, the candidate with it; False if fenced, and nothing is written."""
    text = cut(reason)
    candidate_id = connection.scalars(
        update(evaluations)
        .where(holds(evaluation_id, attempt), *conditions)
        .values(
            state="failed",
            error_kind=kind,
            error_text=text,
            finished_at=now,
            lease_owner=None,
            lease_expires_at=None,
            progress=None,
        )
        .returning(evaluations.c.candidate_id)
    ).one_or_none()
    if candidate_id is None:
        return False
    end_attempts(connection, now, evaluation_id, attempt, ending)
    move_candidate(connection, candidate_id, "failed", f"{kind}: {text}")
    payload = {"attempt": attempt, "kind": kind}
    append(connection, now, "evaluation.failed", evaluation_id, candidate_id=candidate_id, payload=payload)
    return True


def cancel_evaluation(connection: Connection, now: datetime, evaluation_id: str) -> bool:
    """Queued or running to cancelled, the candidate failed with it; False if it is over, and nothing is written."""
    under_way = and_(evaluations.c.id == evaluation_id, evaluations.c.state.in_(("queued", "running")))
    row = connection.execute(
        update(evaluations)
        .where(under_way)
        .values(
            state="cancelled",
            error_kind="cancelled",
            finished_at=now,
            lease_owner=None,
            lease_expires_at=None,
            progress=None,
            cancel_requested_at=now,
        )
        .returning(evaluations.c.candidate_id, evaluations.c.attempt)
    ).one_or_none()
    if row is None:
        return False
    end_attempts(connection, now, evaluation_id, row.attempt, Ending("cancelled"))
    move_candidate(connection, row.candidate_id, "failed", "cancelled")
    payload = {"attempt": row.attempt}
    append(connection, now, "evaluation.cancelled", evaluation_id, candidate_id=row.candidate_id, payload=payload)
    return True


def end_attempts(connection: Connection, now: datetime, evaluation_id: str, attempt: int, ending: Ending) -> None:
    """Writes how an attempt ended, and any before it that never came to an end."""
    values = {
        "outcome": ending.outcome,
        "ended_at": now,
        "exit_signal": ending.exit_signal,
        "peak_bytes": ending.peak_bytes,
        "log_tail": None if ending.log_tail is None else cut(ending.log_tail, from_end=True),
    }
    connection.execute(_END_ATTEMPTS, {**values, "of_evaluation": evaluation_id, "up_to": attempt})


def move_candidate(
    connection: Connection, candidate_id: str, state: CandidateState, failure: str | None = None
) -> None:
    """A candidate that is complete or failed stays so: a later stage has no say in what the search has learned."""
    connection.execute(_MOVE_CANDIDATE, {"moved": candidate_id, "state": state, "failure": failure})


def cut(text: str, from_end: bool = False) -> str:
    """At most 8 KiB of UTF-8, its beginning or its end, without the NUL that PostgreSQL cannot hold."""
    encoded = text.replace("\0", "").encode("utf-8", "replace")
    return (encoded[-ERROR_BYTES:] if from_end else encoded[:ERROR_BYTES]).decode("utf-8", "ignore")
