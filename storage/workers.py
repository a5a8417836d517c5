"""Workers: who evaluates, on what, and when they were last heard of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, insert, select, update

from ..core.errors import StorageError
from .database import Database
from .events import append
from .ids import new_id
from .owners import is_dead
from .records import WorkerRecord, WorkerState
from .tables import workers

SILENT_SECONDS = 120.0
"""A worker that was not heard of for so long is taken to be gone."""


class Workers:
    """Notes how workers stand; what they evaluate is in the queue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(
        self,
        owner: str,
        host: str,
        pid: int,
        version: str,
        kind: str,
        queues: Sequence[str],
        device: Mapping[str, Any],
        environment_id: str | None = None,
    ) -> WorkerRecord:
        """A worker that has come up."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            row = {
                "id": new_id(),
                "owner": owner,
                "host": host,
                "pid": pid,
                "version": version,
                "kind": kind,
                "queues_json": list(queues),
                "device_json": dict(device),
                "environment_id": environment_id,
                "state": "up",
                "started_at": now,
                "last_seen_at": now,
            }
            added = connection.execute(insert(workers).values(**row).returning(workers)).one()
            payload = {"host": host, "pid": pid, "device": device.get("name")}
            append(connection, now, "worker.up", added.id, payload=payload)
            return _record(added)

    def get(self, worker_id: str) -> WorkerRecord:
        """One worker.

        Raises:
            StorageError: there is none with this id.
        """
        with self._database.read() as connection:
            row = connection.execute(select(workers).where(workers.c.id == worker_id)).one_or_none()
        if row is None:
            raise StorageError(f"there is no worker with id {worker_id} in {self._database.where}")
        return _record(row)

    def live(self, silent_seconds: float = SILENT_SECONDS) -> list[WorkerRecord]:
        """Those that were heard of lately and are not known to have ended, oldest first."""
        with self._database.read() as connection:
            since = self._database.now(connection) - timedelta(seconds=silent_seconds)
            heard = (workers.c.state != "gone", workers.c.last_seen_at > since)
            rows = connection.execute(select(workers).where(*heard).order_by(workers.c.id)).all()
        return [_record(row) for row in rows if not is_dead(row.owner)]

    def all(self) -> list[WorkerRecord]:
        """Every worker there ever was, oldest first."""
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(select(workers).order_by(workers.c.id))]

    def seen(self, worker_id: str) -> WorkerState:
        """Notes that it lives; the state that it is in, which others may have changed."""
        with self._database.write() as connection:
            change = update(workers).where(workers.c.id == worker_id)
            change = change.values(last_seen_at=self._database.now(connection))
            state: WorkerState = connection.execute(change.returning(workers.c.state)).scalar_one()
            return state

    def evaluates(self, worker_id: str, evaluation_id: str | None, done: int = 0, failed: int = 0) -> None:
        """Notes what it evaluates from now on (None: nothing), and what came of what it did since the last note."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            change: dict[str, Any] = {"evaluation_id": evaluation_id, "last_seen_at": now}
            if evaluation_id is not None:
                change["claimed_at"] = now
            if done or failed:
                change |= {"done": workers.c.done + done, "failed": workers.c.failed + failed}
            connection.execute(update(workers).where(workers.c.id == worker_id).values(**change))

    def move(self, worker_id: str, state: WorkerState, reason: str | None = None) -> None:
        """Notes how it stands from now on, and why; one that is gone stays gone."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            still = (workers.c.id == worker_id, workers.c.state.not_in(("gone", state)))
            change: dict[str, Any] = {"state": state, "reason": reason, "last_seen_at": now}
            if state == "gone":
                change["evaluation_id"] = None
            if connection.execute(update(workers).where(*still).values(**change)).rowcount:
                append(connection, now, f"worker.{state}", worker_id, payload={"reason": reason})


def _record(row: Row[Any]) -> WorkerRecord:
    return WorkerRecord(
        id=row.id,
        owner=row.owner,
        host=row.host,
        pid=row.pid,
        version=row.version,
        kind=row.kind,
        queues=tuple(row.queues_json),
        device=row.device_json,
        state=row.state,
        reason=row.reason,
        evaluation_id=row.evaluation_id,
        claimed_at=row.claimed_at,
        done=row.done,
        failed=row.failed,
        environment_id=row.environment_id,
        started_at=row.started_at,
        last_seen_at=row.last_seen_at,
    )
