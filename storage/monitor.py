"""The monitor: what waits, runs, fails and works, read without disturbing anybody.

It may be asked every second by many: no query reads more of a table than an index leads to, whatever the size of the
study, and each answer is of one state of the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, func, literal_column, select

from .database import Database
from .monitor_records import (
    AttemptSeen,
    Failure,
    FleetView,
    Outlook,
    Quarantined,
    QueueDepth,
    RunningEvaluation,
    Subject,
    Throughput,
    WorkerSeen,
)
from .seen_workers import owner_place, seen_workers
from .tables import attempts, candidates, evaluations, studies, workers
from .workers import SILENT_SECONDS

_LATEST = 200
"""The mean time is that of so many successes, the latest: what a study asks changes as it goes on."""

# Written into the statement: only then may a plan that is kept for any parameter use the indices of one state.
_QUEUED: ColumnElement[str] = literal_column("'queued'")
_RUNNING: ColumnElement[str] = literal_column("'running'")
_FAILED: ColumnElement[str] = literal_column("'failed'")


class Monitor:
    """Watches the evaluations and workers of a database; nothing here writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fleet(self, failures: int = 5, silent_seconds: float = SILENT_SECONDS) -> FleetView:
        """Everything at once, as of one moment.

        Args:
            failures: how many of the latest to give, of those that failed and of those in quarantine.
            silent_seconds: a worker that was not heard of for longer counts as lost.
        """
        with self._database.read() as connection:
            now = self._database.now(connection)
            present = seen_workers(connection, now, silent_seconds, gone=0)
            running = _running(connection, now, {worker.owner: worker for worker in present})
            depths, held = _depths(connection, [worker for worker in present if worker.state == "up"])
            return FleetView(
                at=now,
                depths=tuple(depths),
                held=held,
                running=tuple(running),
                workers=tuple(present),
                throughput=_throughput(connection, now),
                outlook=_outlook(connection, now, depths, running, present),
                failures=tuple(_failures(connection, now, failures)),
                quarantined=tuple(_quarantined(connection, now, failures)),
            )

    def depths(self) -> list[QueueDepth]:
        """What waits and runs, by queue and priority; empty if nothing does."""
        return list(self.fleet(failures=0).depths)

    def running(self) -> list[RunningEvaluation]:
        """What is under way, the longest first."""
        return list(self.fleet(failures=0).running)

    def workers(self, gone: int = 0, silent_seconds: float = SILENT_SECONDS) -> list[WorkerSeen]:
        """The workers, by host and start.

        Args:
            gone: how many to give of those that have left, and of those lost for more than a day; the latest first.
            silent_seconds: one that was not heard of for longer counts as lost.
        """
        with self._database.read() as connection:
            return seen_workers(connection, self._database.now(connection), silent_seconds, gone)

    def failures(self, limit: int = 20) -> list[Failure]:
        """What failed for good, the latest first."""
        with self._database.read() as connection:
            return _failures(connection, self._database.now(connection), limit)

    def quarantined(self, limit: int = 20) -> list[Quarantined]:
        """What lost every worker that tried it, with all its attempts; the latest first."""
        with self._database.read() as connection:
            return _quarantined(connection, self._database.now(connection), limit)

    def throughput(self) -> Throughput:
        """How many evaluations ended lately."""
        with self._database.read() as connection:
            return _throughput(connection, self._database.now(connection))

    def names(self, ids: Sequence[str]) -> dict[str, str]:
        """What people call those of the ids that are an evaluation's, a candidate's or a worker's.

        `candidate 17`, or a reference's label; `host:pid`.
        """
        known = (candidates.c.number, candidates.c.label)
        of_evaluations = select(evaluations.c.id, *known).join(candidates).where(evaluations.c.id.in_(tuple(ids)))
        of_candidates = select(candidates.c.id, *known).where(candidates.c.id.in_(tuple(ids)))
        of_workers = select(workers.c.id, workers.c.host, workers.c.pid).where(workers.c.id.in_(tuple(ids)))
        with self._database.read() as connection:
            rows = [row for query in (of_evaluations, of_candidates) for row in connection.execute(query)]
            places = {row.id: f"{row.host}:{row.pid}" for row in connection.execute(of_workers)}
        return {row.id: _name(row) for row in rows} | places


def _depths(connection: Connection, live: Sequence[WorkerSeen]) -> tuple[list[QueueDepth], dict[str, int]]:
    """What there is in each queue; and by study that does not run, how much of what is queued is its own."""
    key = (evaluations.c.queue, evaluations.c.priority)
    of_studies = evaluations.join(candidates, candidates.c.id == evaluations.c.candidate_id).join(studies)
    by_study = (*key, studies.c.name, studies.c.state)
    queued = select(*by_study, func.count().label("size")).select_from(of_studies)
    running = select(*key, func.count().label("size")).where(evaluations.c.state == _RUNNING).group_by(*key)
    counts: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    held: dict[str, int] = defaultdict(int)
    for row in connection.execute(queued.where(evaluations.c.state == _QUEUED).group_by(*by_study)):
        counts[row.queue, row.priority][0] += row.size
        if row.state != "running":
            counts[row.queue, row.priority][1] += row.size
            held[row.name] += row.size
    for row in connection.execute(running):
        counts[row.queue, row.priority][2] = row.size
    depths = [
        QueueDepth(*key_, waits, held_, runs, sum(key_[0] in worker.queues for worker in live))
        for key_, (waits, held_, runs) in sorted(counts.items(), key=lambda of: (of[0][0], -of[0][1]))
    ]
    return depths, dict(held)


def _running(connection: Connection, now: datetime, present: Mapping[str, WorkerSeen]) -> list[RunningEvaluation]:
    query = _subjects().where(evaluations.c.state == _RUNNING).order_by(evaluations.c.started_at, evaluations.c.id)
    found = []
    for row in connection.execute(query):
        worker = present.get(row.worker)
        host, pid = (worker.host, worker.pid) if worker else owner_place(row.worker)
        found.append(
            RunningEvaluation(
                subject=_subject(row),
                queue=row.queue,
                worker=row.worker,
                host=host,
                pid=pid,
                device=worker.device_name if worker else None,
                attempt=row.attempt,
                max_attempts=row.max_attempts,
                progress=row.progress,
                seconds=(now - row.started_at).total_seconds(),
                lease_seconds=(row.lease_expires_at - now).total_seconds(),
            )
        )
    return found


def _throughput(connection: Connection, now: datetime) -> Throughput:
    def since(minutes: int) -> datetime:
        return now - timedelta(minutes=minutes)

    def count(*conditions: Any) -> Any:
        return func.coalesce(func.sum(case((and_(*conditions), 1), else_=0)), 0)

    ended, succeeded = evaluations.c.finished_at, evaluations.c.state != "cancelled"
    failed = count(evaluations.c.state == _FAILED)
    query = select(count(ended >= since(1), succeeded), count(ended >= since(10), succeeded), count(succeeded), failed)
    return Throughput(*(int(number) for number in connection.execute(query.where(ended >= since(60))).one()))


def _outlook(
    connection: Connection,
    now: datetime,
    depths: Sequence[QueueDepth],
    running: Sequence[RunningEvaluation],
    present: Sequence[WorkerSeen],
) -> Outlook:
    query = (
        select(evaluations.c.seconds_json, evaluations.c.started_at, evaluations.c.finished_at)
        .where(evaluations.c.finished_at >= now - timedelta(days=1), evaluations.c.state == "succeeded")
        .order_by(evaluations.c.finished_at.desc())
        .limit(_LATEST)
    )
    # What was computed in company began together: its own share is in the seconds by phase.
    each = [
        sum(row.seconds_json.values()) if row.seconds_json else (row.finished_at - row.started_at).total_seconds()
        for row in connection.execute(query)
    ]
    mean = sum(each) / len(each) if each else None
    at_work = {worker.owner for worker in present if worker.state == "up"} | {one.worker for one in running}
    left = sum(depth.queued - depth.held for depth in depths) + sum(1 - (one.progress or 0.0) for one in running)
    if not left:
        return Outlook(mean, len(at_work), 0.0)
    return Outlook(mean, len(at_work), None if mean is None or not at_work else left * mean / len(at_work))


def _failures(connection: Connection, now: datetime, limit: int, *conditions: Any) -> list[Failure]:
    query = _subjects().where(evaluations.c.state == _FAILED, *conditions)
    latest = query.order_by(evaluations.c.finished_at.desc(), evaluations.c.id.desc()).limit(limit)
    return [
        Failure(
            subject=_subject(row),
            kind=row.error_kind or "unknown",
            text=row.error_text or "",
            worker=row.worker or "",
            attempts=row.attempt,
            at=row.finished_at,
            seconds_ago=(now - row.finished_at).total_seconds(),
        )
        for row in connection.execute(latest)
    ]


def _quarantined(connection: Connection, now: datetime, limit: int) -> list[Quarantined]:
    lost = _failures(connection, now, limit, evaluations.c.error_kind == "lost")
    ids = [failure.subject.evaluation_id for failure in lost]
    query = select(attempts).where(attempts.c.evaluation_id.in_(ids)).order_by(attempts.c.attempt)
    seen: dict[str, list[AttemptSeen]] = {evaluation_id: [] for evaluation_id in ids}
    for row in connection.execute(query):
        attempt = AttemptSeen(row.attempt, row.worker, row.outcome, row.exit_signal, row.peak_bytes, row.log_tail)
        seen[row.evaluation_id].append(attempt)
    return [Quarantined(failure, tuple(seen[failure.subject.evaluation_id])) for failure in lost]


def _subjects() -> Select[Any]:
    """All of an evaluation, with what people call it."""
    named = (candidates.c.number, candidates.c.label, studies.c.name.label("study"))
    return (
        select(evaluations, *named)
        .join(candidates, candidates.c.id == evaluations.c.candidate_id)
        .join(studies, studies.c.id == candidates.c.study_id)
    )


def _subject(row: Row[Any]) -> Subject:
    return Subject(row.id, row.study, _name(row), row.number, row.stage, row.part)


def _name(row: Any) -> str:
    return str(row.label) if row.number is None else f"candidate {row.number}"
