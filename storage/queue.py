"""The queue of evaluations: who may run what, for how long, and what becomes of work that nobody finishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, or_, select, update

from ..core.errors import StorageError
from .database import Database
from .events import append
from .ids import new_id
from .inserts import insert_missing
from .owners import is_dead
from .records import EvaluationRecord, Stage
from .tables import attempts, candidates, evaluations
from .transitions import end_attempts, fail_evaluation, holds, move_candidate, requeue

LEASE_SECONDS = 60.0
MAX_ATTEMPTS = 3


class Queue:
    """Hands evaluations out under leases.

    A lease is a promise that ends by itself: its holder extends it (`beat`) while it works, and if it falls silent
    another may take over. Every claim has its attempt number, and only the latest attempt may write a result.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure(
        self,
        candidate_id: str,
        stage: Stage,
        eval_key: str,
        part: int = 0,
        items: Mapping[str, Sequence[str]] | None = None,
    ) -> EvaluationRecord:
        """The evaluation of a candidate at a stage, queued if there was none; one that exists is left as it is.

        Args:
            part: counts on from 0 where a candidate is asked step by step.
            items: by task, the ids of the items that this part asks; None: all of the stage's.
        """
        with self._database.write() as connection:
            new_evaluation(connection, self._database.now(connection), candidate_id, stage, eval_key, part, items)
            query = select(evaluations).where(
                evaluations.c.candidate_id == candidate_id, evaluations.c.stage == stage, evaluations.c.part == part
            )
            return evaluation_record(connection.execute(query).one())

    def parts(self, study_id: str, stage: Stage | None = None) -> dict[str, list[EvaluationRecord]]:
        """The evaluations of a study's candidates, at one stage or all, by candidate id, part by part."""
        query = (
            select(evaluations)
            .join(candidates, candidates.c.id == evaluations.c.candidate_id)
            .where(candidates.c.study_id == study_id)
        )
        if stage is not None:
            query = query.where(evaluations.c.stage == stage)
        found: dict[str, list[EvaluationRecord]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query.order_by(evaluations.c.candidate_id, evaluations.c.part)):
                found.setdefault(row.candidate_id, []).append(evaluation_record(row))
        return found

    def get(self, evaluation_id: str) -> EvaluationRecord:
        """One evaluation.

        Raises:
            StorageError: there is none with this id.
        """
        with self._database.read() as connection:
            row = connection.execute(select(evaluations).where(evaluations.c.id == evaluation_id)).one_or_none()
        if row is None:
            raise StorageError(f"there is no evaluation with id {evaluation_id} in {self._database.where}")
        return evaluation_record(row)

    def pending(self, study_id: str, stage: Stage | None = None) -> list[EvaluationRecord]:
        """A study's evaluations that are queued or running, in the order they were queued."""
        query = (
            select(evaluations)
            .join(candidates, candidates.c.id == evaluations.c.candidate_id)
            .where(candidates.c.study_id == study_id, evaluations.c.state.in_(("queued", "running")))
        )
        if stage is not None:
            query = query.where(evaluations.c.stage == stage)
        with self._database.read() as connection:
            return [evaluation_record(row) for row in connection.execute(query.order_by(evaluations.c.id))]

    def claim(self, evaluation_id: str, owner: str, lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Takes a waiting or abandoned evaluation; the number of this attempt, or None if it is not to be had.

        Args:
            owner: `owners.this_process()`, so that others can see when the owner is dead.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            # One conditional update: of any number of claims at the same moment, one finds the row as it must be.
            row = connection.execute(
                update(evaluations)
                .where(evaluations.c.id == evaluation_id, _claimable(now))
                .values(
                    state="running",
                    attempt=evaluations.c.attempt + 1,
                    lease_owner=owner,
                    lease_expires_at=now + timedelta(seconds=lease_seconds),
                    worker=owner,
                    started_at=now,
                )
                .returning(evaluations.c.attempt, evaluations.c.candidate_id)
            ).one_or_none()
            if row is None:
                return None
            end_attempts(connection, now, evaluation_id, row.attempt - 1, "lost")
            new = {"evaluation_id": evaluation_id, "attempt": row.attempt, "worker": owner, "started_at": now}
            connection.execute(insert(attempts).values(**new))
            move_candidate(connection, row.candidate_id, "evaluating")
            payload = {"attempt": row.attempt, "worker": owner}
            append(connection, now, "evaluation.started", evaluation_id, candidate_id=row.candidate_id, payload=payload)
            return int(row.attempt)

    def beat(self, evaluation_id: str, attempt: int, lease_seconds: float = LEASE_SECONDS) -> bool:
        """Extends the lease from now; False if the evaluation is no longer this attempt's (then stop working on it)."""
        with self._database.write() as connection:
            until = self._database.now(connection) + timedelta(seconds=lease_seconds)
            change = update(evaluations).where(holds(evaluation_id, attempt)).values(lease_expires_at=until)
            return connection.execute(change).rowcount == 1

    def release(self, evaluation_id: str, attempt: int) -> bool:
        """Hands an unfinished evaluation back, by choice: the attempt does not count. False if it was not held."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            return requeue(connection, now, evaluation_id, attempt, "released")

    def reap(
        self, study_id: str | None = None, dead: Callable[[str], bool] = is_dead, counted: bool = True
    ) -> list[str]:
        """Takes back every lease that has run out or whose owner is dead, at once and not when the lease ends.

        What has attempts left is queued again; the rest fails as `lost`.

        Args:
            counted: whether the attempt that was lost counts. It does where workers die unseen; it does not where a
                person ended the process and goes on with the study, which must then not differ from one left alone.

        Returns:
            The ids of the evaluations taken back.
        """
        query = select(evaluations).where(evaluations.c.state == "running")
        if study_id is not None:
            query = query.join(candidates, candidates.c.id == evaluations.c.candidate_id)
            query = query.where(candidates.c.study_id == study_id)
        with self._database.read() as connection:
            now = self._database.now(connection)
            abandoned = [
                row for row in connection.execute(query) if row.lease_expires_at < now or dead(row.lease_owner)
            ]
        if not abandoned:
            return []
        with self._database.write() as connection:
            now = self._database.now(connection)
            return [row.id for row in abandoned if _take_back(connection, now, row, counted)]


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
    row = {
        "id": new_id(),
        "candidate_id": candidate_id,
        "stage": stage,
        "part": part,
        "items_json": None if items is None else {task: list(ids) for task, ids in items.items()},
        "eval_key": eval_key,
        "queue": "default",
        "priority": 0,
        "state": "queued",
        "attempt": 0,
        "max_attempts": MAX_ATTEMPTS,
        "created_at": now,
    }
    if insert_missing(connection, evaluations, [row]):
        payload = {"stage": stage, "part": part} if part else {"stage": stage}
        append(connection, now, "evaluation.queued", str(row["id"]), candidate_id=candidate_id, payload=payload)


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
        error_kind=row.error_kind,
        error_text=row.error_text,
        seconds=row.seconds_json or {},
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _claimable(now: datetime) -> Any:
    return and_(
        or_(
            evaluations.c.state == "queued",
            and_(evaluations.c.state == "running", evaluations.c.lease_expires_at < now),
        ),
        evaluations.c.attempt < evaluations.c.max_attempts,
        or_(evaluations.c.not_before.is_(None), evaluations.c.not_before <= now),
        evaluations.c.cancel_requested_at.is_(None),
    )


def _take_back(connection: Connection, now: datetime, seen: Row[Any], counted: bool) -> bool:
    """Conditional on the lease as it was seen: its owner may have extended it, or another may have been faster."""
    unchanged = evaluations.c.lease_expires_at == seen.lease_expires_at
    if not counted:
        return requeue(connection, now, seen.id, seen.attempt, "released", unchanged)
    if seen.attempt < seen.max_attempts:
        return requeue(connection, now, seen.id, seen.attempt, "lost", unchanged)
    query = select(attempts.c.worker).where(attempts.c.evaluation_id == seen.id).order_by(attempts.c.attempt)
    workers = ", ".join(connection.scalars(query))
    reason = f"its worker was lost {seen.attempt} times ({workers}); it may need more memory than there is"
    return fail_evaluation(connection, now, seen.id, seen.attempt, "lost", reason, "lost", unchanged)
