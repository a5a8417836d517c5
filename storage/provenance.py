"""Provenance: all that a result follows from, in one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from ..core.errors import StorageError
from .database import Database
from .records import EvaluationState, Stage
from .tables import candidates, environments, evaluations, item_responses, studies


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from; with the same recipe, items and environment it comes out again.

    Attributes:
        number, label: of the candidate; one of them is None.
        recipe_sha256: hash of the recipe that was built.
        item_sets: by task, the hash of the items that were asked under their scoring rule; empty if it failed.
        attempt: which attempt it was that ended it.
        worker: the process that computed it (`owners.this_process`); None if none has begun.
        environment_id: hash of `environment`: code, plugins, libraries and device; None if it was not noted.
    """

    evaluation_id: str
    study_id: str
    study: str
    candidate_id: str
    number: int | None
    label: str | None
    recipe_sha256: str
    stage: Stage
    part: int
    item_sets: Mapping[str, str]
    state: EvaluationState
    attempt: int
    worker: str | None
    environment_id: str | None
    environment: Mapping[str, Any]
    started_at: datetime | None
    finished_at: datetime | None


class Provenances:
    """Reads where results come from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, evaluation_id: str) -> Provenance:
        """The provenance of an evaluation's result.

        Raises:
            StorageError: there is none with this id.
        """
        with self._database.read() as connection:
            found = _read(connection, evaluations.c.id == evaluation_id)
        if not found:
            raise StorageError(f"there is no evaluation with id {evaluation_id} in {self._database.where}")
        return found[0]

    def of_candidate(self, candidate_id: str) -> list[Provenance]:
        """The provenance of all that was evaluated of a candidate, in the order it was queued."""
        with self._database.read() as connection:
            return _read(connection, evaluations.c.candidate_id == candidate_id)


def _read(connection: Connection, condition: ColumnElement[bool]) -> list[Provenance]:
    joined = evaluations.join(candidates, candidates.c.id == evaluations.c.candidate_id)
    joined = joined.join(studies, studies.c.id == candidates.c.study_id)
    joined = joined.outerjoin(environments, environments.c.id == evaluations.c.environment_id)
    query = (
        select(evaluations, candidates.c.study_id, candidates.c.number, candidates.c.label, candidates.c.fingerprint)
        .add_columns(studies.c.name.label("study"), environments.c.content_json)
        .select_from(joined)
        .where(condition)
        .order_by(evaluations.c.id)
    )
    rows = connection.execute(query).all()
    sets: dict[str, dict[str, str]] = {row.id: {} for row in rows}
    asked = select(item_responses.c.evaluation_id, item_responses.c.task, item_responses.c.item_set_id).where(
        item_responses.c.evaluation_id.in_(sets), item_responses.c.first_item == 0
    )
    for evaluation_id, task, item_set_id in connection.execute(asked.order_by(item_responses.c.task)):
        sets[evaluation_id][task] = item_set_id
    return [_provenance(row, sets[row.id]) for row in rows]


def _provenance(row: Row[Any], item_sets: Mapping[str, str]) -> Provenance:
    return Provenance(
        evaluation_id=row.id,
        study_id=row.study_id,
        study=row.study,
        candidate_id=row.candidate_id,
        number=row.number,
        label=row.label,
        recipe_sha256=row.fingerprint,
        stage=row.stage,
        part=row.part,
        item_sets=item_sets,
        state=row.state,
        attempt=row.attempt,
        worker=row.worker,
        environment_id=row.environment_id,
        environment=row.content_json or {},
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
