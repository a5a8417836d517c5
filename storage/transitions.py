"""The steps in the life of an evaluation that several rules share; each is fenced by the attempt number."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, update

from .events import append
from .records import AttemptOutcome, CandidateState
from .tables import attempts, candidates, evaluations

ERROR_BYTES = 8192


def holds(evaluation_id: str, attempt: int) -> ColumnElement[bool]:
    """The condition that an evaluation is running as this very attempt."""
    return and_(evaluations.c.id == evaluation_id, evaluations.c.attempt == attempt, evaluations.c.state == "running")


def requeue(
    connection: Connection,
    now: datetime,
    evaluation_id: str,
    attempt: int,
    outcome: AttemptOutcome,
    *conditions: ColumnElement[bool],
) -> bool:
    """Running to queued; False if the attempt does not hold the evaluation, and nothing is written."""
    # The number of an attempt is its fence and never goes back, so one that does not count raises the limit instead.
    uncounted = 1 if outcome == "released" else 0
    candidate_id = connection.scalars(
        update(evaluations)
        .where(holds(evaluation_id, attempt), *conditions)
        .values(
            state="queued",
            lease_owner=None,
            lease_expires_at=None,
            max_attempts=evaluations.c.max_attempts + uncounted,
        )
        .returning(evaluations.c.candidate_id)
    ).one_or_none()
    if candidate_id is None:
        return False
    end_attempts(connection, now, evaluation_id, attempt, outcome)
    payload = {"attempt": attempt}
    append(connection, now, f"evaluation.{outcome}", evaluation_id, candidate_id=candidate_id, payload=payload)
    return True


def fail_evaluation(
    connection: Connection,
    now: datetime,
    evaluation_id: str,
    attempt: int,
    kind: str,
    reason: str,
    outcome: AttemptOutcome,
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
        )
        .returning(evaluations.c.candidate_id)
    ).one_or_none()
    if candidate_id is None:
        return False
    end_attempts(connection, now, evaluation_id, attempt, outcome)
    move_candidate(connection, candidate_id, "failed", f"{kind}: {text}")
    payload = {"attempt": attempt, "kind": kind}
    append(connection, now, "evaluation.failed", evaluation_id, candidate_id=candidate_id, payload=payload)
    return True


def end_attempts(
    connection: Connection, now: datetime, evaluation_id: str, attempt: int, outcome: AttemptOutcome
) -> None:
    """Writes how an attempt ended, and any before it that never came to an end."""
    open_ones = (
        attempts.c.evaluation_id == evaluation_id,
        attempts.c.attempt <= attempt,
        attempts.c.outcome.is_(None),
    )
    connection.execute(update(attempts).where(*open_ones).values(outcome=outcome, ended_at=now))


def move_candidate(
    connection: Connection, candidate_id: str, state: CandidateState, failure: str | None = None
) -> None:
    """A candidate that is complete or failed stays so: a later stage has no say in what the search has learned."""
    unsettled = candidates.c.state.in_(("proposed", "evaluating"))
    connection.execute(
        update(candidates).where(candidates.c.id == candidate_id, unsettled).values(state=state, failure=failure)
    )


def cut(text: str) -> str:
    """At most 8 KiB of UTF-8, without the NUL that PostgreSQL cannot hold."""
    return text.replace("\0", "").encode("utf-8", "replace")[:ERROR_BYTES].decode("utf-8", "ignore")
