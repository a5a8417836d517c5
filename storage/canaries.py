"""Canaries: what one and the same model said on each worker, each time it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import Connection, func, insert, select

from .database import Database
from .tables import canaries

Verdict: TypeAlias = Literal["agrees", "drifted"]


@dataclass(frozen=True)
class CanaryRecord:
    """One look at a worker.

    Attributes:
        number: 0, 1, ...: of this worker in this study.
        values: log-likelihoods; empty if the model could not be built or asked.
        verdict: whether they agreed with what the study's workers had said before.
    """

    worker_id: str
    number: int
    at: datetime
    values: tuple[float, ...]
    verdict: Verdict


class Canaries:
    """Notes canaries, and reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, study_id: str, worker_id: str, values: Sequence[float], verdict: Verdict) -> int:
        """Notes what a worker's canary said; the number of this one.

        Raises:
            StorageError: a value is NaN or infinite, or there is no such study or worker.
        """
        with self._database.write() as connection:
            return write_canary(connection, self._database, study_id, worker_id, values, verdict)

    def of(self, study_id: str) -> list[CanaryRecord]:
        """All of a study, oldest first."""
        query = select(canaries).where(canaries.c.study_id == study_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(canaries.c.at, canaries.c.worker_id, canaries.c.number))
            return [
                CanaryRecord(row.worker_id, row.number, row.at, tuple(row.values_json), row.verdict) for row in rows
            ]


def write_canary(
    connection: Connection,
    database: Database,
    study_id: str,
    worker_id: str,
    values: Sequence[float],
    verdict: Verdict,
) -> int:
    """Notes a canary in a transaction; its number."""
    same = (canaries.c.study_id == study_id, canaries.c.worker_id == worker_id)
    last = connection.scalar(select(func.max(canaries.c.number)).where(*same))
    number = 0 if last is None else int(last) + 1
    row = {"study_id": study_id, "worker_id": worker_id, "number": number, "at": database.now(connection)}
    connection.execute(insert(canaries).values(**row, values_json=list(values), verdict=verdict))
    return number
