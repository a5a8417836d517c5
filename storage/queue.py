"""The queue of evaluations: who may run what, for how long, and what becomes of work that nobody finishes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, or_, select, update

from ..core.errors import StorageError
from .claims import Chooser, claim_row, waiting_for
from .database import Database
from .evaluations import evaluation_record, new_evaluation
from .owners import is_dead
from .records import Claim, Ending, EvaluationRecord, Stage
from .tables import candidates, evaluations
from .transitions import cancel_evaluation, holds, lose, requeue

LEASE_SECONDS = 60.0


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
        rows = self._database.rows(_BY_ID, {"ids": [evaluation_id]})
        if not rows:
            raise StorageError(f"there is no evaluation with id {evaluation_id} in {self._database.where}")
        return evaluation_record(rows[0])

    def several(self, evaluation_ids: Sequence[str]) -> list[EvaluationRecord]:
        """Those with these ids, in the order of the ids; what there is not is left out."""
        with self._database.read() as connection:
            rows = [row for ids in _portions(evaluation_ids) for row in connection.execute(_BY_ID, {"ids": list(ids)})]
        known = {row.id: evaluation_record(row) for row in rows}
        return [known[evaluation_id] for evaluation_id in evaluation_ids if evaluation_id in known]

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

    def company(self, first_id: str) -> list[EvaluationRecord]:
        """Those that are computed together with this one, itself included, in the order that they were queued."""
        query = select(evaluations).where(evaluations.c.company == first_id).order_by(evaluations.c.id)
        with self._database.read() as connection:
            return [evaluation_record(row) for row in connection.execute(query)]

    def states(self, evaluation_ids: Sequence[str]) -> dict[str, str]:
        """The state of each, by id."""
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for ids in _portions(evaluation_ids):
                query = select(evaluations.c.id, evaluations.c.state).where(evaluations.c.id.in_(ids))
                found.update({row.id: row.state for row in connection.execute(query)})
        return found

    def assign(
        self,
        evaluation_ids: Sequence[str],
        queue: str,
        need_bytes: int | None = None,
        priority: int = 0,
        company: str | None = None,
    ) -> None:
        """Gives those that are queued to workers.

        Args:
            queue: the memory class that a worker must have.
            need_bytes: device memory that each takes, as foreseen.
            priority: of two that wait, the one of the higher number comes first.
            company: the id of the first of them if they are to be computed together, by one worker.
        """
        given = {"queue": queue, "need_bytes": need_bytes, "priority": priority, "company": company}
        with self._database.write() as connection:
            for ids in _portions(evaluation_ids):
                waiting = (evaluations.c.id.in_(ids), evaluations.c.state == "queued")
                connection.execute(update(evaluations).where(*waiting).values(**given))

    def unpublished(self, evaluation_ids: Sequence[str], again_after: float) -> list[EvaluationRecord]:
        """Those of them that are queued and that no worker was told of, or so long ago that the message may be lost.

        Args:
            again_after: seconds after which a message counts as lost.
        """
        found: list[EvaluationRecord] = []
        with self._database.read() as connection:
            long_ago = self._database.now(connection) - timedelta(seconds=again_after)
            untold = or_(evaluations.c.published_at.is_(None), evaluations.c.published_at < long_ago)
            for ids in _portions(evaluation_ids):
                query = select(evaluations).where(evaluations.c.id.in_(ids), evaluations.c.state == "queued", untold)
                found += [evaluation_record(row) for row in connection.execute(query)]
        return sorted(found, key=lambda record: (-record.priority, record.id))

    def announced(self, evaluation_ids: Sequence[str], again_after: float) -> int:
        """How many of them are queued and workers were told of, less than `again_after` seconds ago."""
        with self._database.read() as connection:
            long_ago = self._database.now(connection) - timedelta(seconds=again_after)
            lately = and_(evaluations.c.state == "queued", evaluations.c.published_at >= long_ago)
            return sum(
                connection.scalars(select(func.count()).where(evaluations.c.id.in_(ids), lately)).one()
                for ids in _portions(evaluation_ids)
            )

    def study_of(self, evaluation_id: str) -> str:
        """The id of the study that an evaluation belongs to."""
        query = select(candidates.c.study_id).join(evaluations, evaluations.c.candidate_id == candidates.c.id)
        with self._database.read() as connection:
            return str(connection.scalars(query.where(evaluations.c.id == evaluation_id)).one())

    def published(self, evaluation_ids: Sequence[str]) -> None:
        """Notes that workers were told of these."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            for ids in _portions(evaluation_ids):
                change = {"published_at": now, "publish_count": evaluations.c.publish_count + 1}
                connection.execute(update(evaluations).where(evaluations.c.id.in_(ids)).values(**change))

    def claim(self, evaluation_id: str, owner: str, lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Takes a waiting or abandoned evaluation; the number of this attempt, or None if it is not to be had.

        Args:
            owner: `owners.this_process()`, so that others can see when the owner is dead.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            claimed = claim_row(connection, now, evaluation_id, owner, lease_seconds)
            return None if claimed is None else claimed.attempt

    def take(
        self,
        owner: str,
        queues: Collection[str],
        choose: Chooser,
        lease_seconds: float = LEASE_SECONDS,
        besides: Collection[str] = (),
        studies: Collection[str] | None = None,
    ) -> list[Claim]:
        """Takes what `choose` picks of the evaluations that wait in these queues, with all of its company.

        One that has a single attempt left is taken alone: whatever ends the others' attempts, it might be to blame.

        One transaction: whatever else waits is not locked for longer than the choice takes.

        Args:
            choose: called with those at the head of the queues, in order of priority, then age; None: none of them.
            besides: ids of studies that are left out.
            studies: only these; default: every study that is running.

        Returns:
            Empty if nothing waits, or nothing was chosen.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            waiting = waiting_for(connection, now, queues, besides, studies)
            chosen = choose(waiting) if waiting else None
            if chosen is None:
                return []
            ids = [chosen.evaluation.id]
            if chosen.evaluation.company is not None and not chosen.evaluation.is_last_chance:
                same = (evaluations.c.company == chosen.evaluation.company, evaluations.c.state == "queued")
                ids = list(connection.scalars(select(evaluations.c.id).where(*same).order_by(evaluations.c.id)))
            claimed = [claim_row(connection, now, evaluation_id, owner, lease_seconds) for evaluation_id in ids]
            return [Claim(evaluation_record(row), row.attempt) for row in claimed if row is not None]

    def beat(
        self,
        evaluation_id: str,
        attempt: int,
        lease_seconds: float = LEASE_SECONDS,
        progress: float | None = None,
    ) -> bool:
        """Extends the lease from now; False if it is no longer this attempt's, or is to be cancelled: then stop.

        Args:
            progress: the share that is done, in [0, 1].
        """
        with self._database.write() as connection:
            until = self._database.now(connection) + timedelta(seconds=lease_seconds)
            values: dict[str, Any] = {"lease_expires_at": until}
            if progress is not None:
                values["progress"] = progress
            wanted = and_(holds(evaluation_id, attempt), evaluations.c.cancel_requested_at.is_(None))
            return connection.execute(update(evaluations).where(wanted).values(**values)).rowcount == 1

    def release(self, evaluation_id: str, attempt: int) -> bool:
        """Hands an unfinished evaluation back, by choice: the attempt does not count. False if it was not held."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            return requeue(connection, now, evaluation_id, attempt, Ending("released"))

    def lose(self, evaluation_id: str, attempt: int, ending: Ending) -> bool:
        """Notes that an attempt came to nothing: it is queued again, or fails for good if no attempts are left.

        Returns:
            False if this attempt did not hold it any more.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            seen = connection.execute(select(evaluations).where(holds(evaluation_id, attempt))).one_or_none()
            if seen is None:
                return False
            if seen.cancel_requested_at is not None:
                return cancel_evaluation(connection, now, evaluation_id)
            return lose(connection, now, seen, ending)

    def cancel(self, evaluation_id: str) -> bool:
        """Asks that it be not evaluated: at once if it waits; who evaluates it is told at the next beat, and stops.

        Returns:
            False if it is over.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            of_this = evaluations.c.id == evaluation_id
            running = update(evaluations).where(of_this, evaluations.c.state == "running")
            if connection.execute(running.values(cancel_requested_at=now)).rowcount:
                return True
            return cancel_evaluation(connection, now, evaluation_id)

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


def _take_back(connection: Connection, now: Any, seen: Any, counted: bool) -> bool:
    """Conditional on the lease as it was seen: its owner may have extended it, or another may have been faster."""
    unchanged: ColumnElement[bool] = evaluations.c.lease_expires_at == seen.lease_expires_at
    if not counted:
        return requeue(connection, now, seen.id, seen.attempt, Ending("released"), unchanged)
    if seen.cancel_requested_at is not None:
        return cancel_evaluation(connection, now, seen.id)
    return lose(connection, now, seen, Ending("lost"), unchanged)


def _portions(ids: Sequence[str], size: int = 500) -> list[Sequence[str]]:
    return [ids[first : first + size] for first in range(0, len(ids), size)]


# Built once: building a statement takes as long as executing it.
_BY_ID = select(evaluations).where(evaluations.c.id.in_(bindparam("ids", expanding=True)))
