"""Distrust: what becomes of the results of a worker whose numbers have drifted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, or_, select, update

from ..core.errors import StorageError
from .canaries import write_canary
from .database import Database
from .events import append
from .tables import (
    asks,
    attempts,
    canaries,
    candidates,
    evaluations,
    item_responses,
    measurements,
    proposals,
    studies,
    workers,
)

_OVER = ("succeeded", "failed")


@dataclass(frozen=True)
class Distrusted:
    """Ids of evaluations: those `taken` back, which are queued again, and those that are `suspect`.

    A result is suspect and stays if something has been built on it: the optimizer was told it, or the study is over.
    """

    taken: tuple[str, ...]
    suspect: tuple[str, ...]


class Distrust:
    """Takes results back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def drifted(self, study_id: str, worker_id: str, values: Sequence[float], reason: str) -> Distrusted:
        """Notes that a worker's canary disagreed: it is `drifted` from now on, and its results are taken back.

        Args:
            values: what the canary said; empty if it said nothing.
            reason: how far it was off, for people.

        Raises:
            StorageError: there is no such worker or study; nothing is written.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            owner = _owner(connection, worker_id, self._database.where)
            since = _last_agreed(connection, study_id, worker_id)
            write_canary(connection, self._database, study_id, worker_id, values, "drifted")
            change = update(workers).where(workers.c.id == worker_id, workers.c.state != "gone")
            connection.execute(change.values(state="drifted", reason=reason))
            append(connection, now, "worker.drifted", worker_id, study_id=study_id, payload={"reason": reason})
            return _take_back(connection, now, study_id, owner, since, reason)

    def take_back(self, study_id: str, worker_id: str, reason: str) -> Distrusted:
        """Takes back what a worker has found for a study since its canary last agreed (or ever, if it never did).

        Results that were copied from these, without being computed again, go with them.

        Raises:
            StorageError: there is no such worker; nothing is written.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            owner = _owner(connection, worker_id, self._database.where)
            since = _last_agreed(connection, study_id, worker_id)
            return _take_back(connection, now, study_id, owner, since, reason)


def _owner(connection: Connection, worker_id: str, where: str) -> str:
    owner = connection.scalars(select(workers.c.owner).where(workers.c.id == worker_id)).one_or_none()
    if owner is None:
        raise StorageError(f"there is no worker with id {worker_id} in {where}")
    return str(owner)


def _last_agreed(connection: Connection, study_id: str, worker_id: str) -> datetime | None:
    agreed = (canaries.c.study_id == study_id, canaries.c.worker_id == worker_id, canaries.c.verdict == "agrees")
    found: datetime | None = connection.scalar(select(func.max(canaries.c.at)).where(*agreed))
    return found


def _take_back(
    connection: Connection, now: datetime, study_id: str, owner: str, since: datetime | None, reason: str
) -> Distrusted:
    found = list(_found_by(connection, study_id, owner, since))
    found += _copies_of(connection, found)
    told = _told(connection, [row.candidate_id for row in found])
    taken = [row for row in found if not _is_built_upon(row, told)]
    for row in taken:
        _queue_again(connection, now, row, reason)
    suspect = [row for row in found if _is_built_upon(row, told)]
    for row in suspect:
        payload = {"worker": owner, "reason": reason, "stage": row.stage, "part": row.part}
        append(connection, now, "result.suspect", row.id, study_id=row.study_id, payload=payload)
    return Distrusted(tuple(row.id for row in taken), tuple(row.id for row in suspect))


def _query() -> Any:
    joined = evaluations.join(candidates, candidates.c.id == evaluations.c.candidate_id)
    joined = joined.join(studies, studies.c.id == candidates.c.study_id)
    columns = (candidates.c.study_id, candidates.c.kind, studies.c.state.label("study_state"))
    return select(evaluations, *columns).select_from(joined).where(evaluations.c.state.in_(_OVER))


def _found_by(connection: Connection, study_id: str, owner: str, since: datetime | None) -> Iterator[Row[Any]]:
    query = _query().where(candidates.c.study_id == study_id, evaluations.c.worker == owner)
    # That its process was lost is no number that a worker has found.
    query = query.where(or_(evaluations.c.error_kind.is_(None), evaluations.c.error_kind != "lost"))
    if since is not None:
        query = query.where(evaluations.c.finished_at > since)
    yield from connection.execute(query.order_by(evaluations.c.id).with_for_update(of=evaluations))


def _copies_of(connection: Connection, originals: Sequence[Row[Any]]) -> list[Row[Any]]:
    """What took its answers from these: equal work in any study, and other parts of the same candidate."""
    if not originals:
        return []
    beside: list[ColumnElement[bool]] = [evaluations.c.eval_key.in_({row.eval_key for row in originals})]
    for stage in {row.stage for row in originals}:
        of_stage = {row.candidate_id for row in originals if row.stage == stage}
        beside.append(and_(evaluations.c.stage == stage, evaluations.c.candidate_id.in_(of_stage)))
    first = min(row.finished_at for row in originals)
    copied = (evaluations.c.seconds_json == {}, evaluations.c.finished_at >= first)  # no time was spent on it
    query = _query().where(or_(*beside), *copied, evaluations.c.id.not_in({row.id for row in originals}))
    return list(connection.execute(query.order_by(evaluations.c.id).with_for_update(of=evaluations)))


def _told(connection: Connection, candidate_ids: Sequence[str]) -> frozenset[str]:
    """Those of the candidates that the optimizer has learned of."""
    same = and_(asks.c.study_id == proposals.c.study_id, asks.c.ask_no == proposals.c.ask_no)
    query = select(proposals.c.candidate_id).join(asks, same)
    query = query.where(proposals.c.candidate_id.in_(set(candidate_ids)), asks.c.told_at.is_not(None))
    return frozenset(connection.scalars(query))


def _is_built_upon(row: Row[Any], told: frozenset[str]) -> bool:
    if row.stage != "search":
        return bool(row.study_state == "complete")
    return row.kind == "reference" or row.candidate_id in told  # estimates are learned from references at once


def _queue_again(connection: Connection, now: datetime, row: Row[Any], reason: str) -> None:
    connection.execute(delete(item_responses).where(item_responses.c.evaluation_id == row.id))
    old = (measurements.c.candidate_id == row.candidate_id, measurements.c.stage == row.stage)
    connection.execute(delete(measurements).where(*old))
    fresh = {
        "state": "queued",
        "max_attempts": row.max_attempts + 1,  # the attempt does not count; its number is a fence and stays
        "published_at": None,
        "progress": None,
        "finished_at": None,
        "seconds_json": None,
        "environment_id": None,
        "error_kind": None,
        "error_text": None,
    }
    connection.execute(update(evaluations).where(evaluations.c.id == row.id).values(**fresh))
    ended = (attempts.c.evaluation_id == row.id, attempts.c.attempt == row.attempt)
    connection.execute(update(attempts).where(*ended).values(outcome="distrusted"))
    if row.stage == "search" or row.kind == "reference":  # a later stage has no say in how a bred candidate stands
        waiting = {"state": "evaluating", "failure": None}
        connection.execute(update(candidates).where(candidates.c.id == row.candidate_id).values(**waiting))
    payload = {"attempt": row.attempt, "worker": row.worker, "reason": reason}
    append(connection, now, "evaluation.distrusted", row.id, study_id=row.study_id, payload=payload)
