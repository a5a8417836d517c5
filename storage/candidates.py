"""Candidates: reading them with all that is known of them, in a fixed number of queries; and the references."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select

from ..core.errors import ConfigurationError, StorageError
from ..core.estimate import Estimate
from ..core.genome import Genome
from . import tables
from .database import Database
from .evaluations import evaluation_record
from .events import append
from .ids import new_id
from .records import CandidateKind, CandidateRecord, EvaluationRecord, Lineage, Relative, Stage
from .transitions import cut, move_candidate


class Candidates:
    """Reads candidates, and records the references that they are compared with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, candidate_id: str) -> CandidateRecord:
        """One candidate.

        Raises:
            StorageError: there is none with this id.
        """
        with self._database.read() as connection:
            found = load(connection, tables.candidates.c.id == candidate_id)
        if not found:
            raise StorageError(f"there is no candidate with id {candidate_id} in {self._database.where}")
        return found[0]

    def all(self, study_id: str, kind: CandidateKind | None = None) -> list[CandidateRecord]:
        """A study's candidates: references as they were added, then the bred by number."""
        conditions = [tables.candidates.c.study_id == study_id]
        if kind is not None:
            conditions.append(tables.candidates.c.kind == kind)
        with self._database.read() as connection:
            return load(connection, *conditions)

    def add_reference(self, study_id: str, label: str, recipe: Mapping[str, Any], fingerprint: str) -> CandidateRecord:
        """A candidate to compare with (`base`, an expert, the uniform average); adding it again changes nothing.

        Its recipe may equal a bred candidate's: it is still a candidate of its own.

        Raises:
            ConfigurationError: the study has a reference of this label with another recipe.
        """
        same = (tables.candidates.c.study_id == study_id, tables.candidates.c.label == label)
        with self._database.write() as connection:
            known = connection.scalars(select(tables.candidates.c.fingerprint).where(*same)).one_or_none()
            if known is None:
                _insert_reference(connection, self._database, study_id, label, recipe, fingerprint)
            elif known != fingerprint:
                raise ConfigurationError(
                    f"the reference {label!r} was recorded with another recipe (SHA-256 {known[:12]}..., now "
                    f"{fingerprint[:12]}...): restore what it is built from, or start another study"
                )
            return load(connection, *same)[0]

    def fail(self, candidate_id: str, reason: str) -> None:
        """Notes that a candidate whose answers are known cannot be measured, and why (cut to 8 KiB)."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            move_candidate(connection, candidate_id, "failed", cut(reason))
            append(connection, now, "candidate.failed", candidate_id, candidate_id=candidate_id, payload={})

    def lineage(self, candidate_id: str) -> Lineage:
        """The candidate's parents and its children."""
        links, relatives = tables.candidate_parents, tables.candidates
        columns = (relatives.c.id, relatives.c.number, links.c.operator)
        up = select(*columns).join(links, links.c.parent_candidate_id == relatives.c.id)
        down = select(*columns).join(links, links.c.child_id == relatives.c.id)
        up = up.where(links.c.child_id == candidate_id).order_by(links.c.ordinal)
        down = down.where(links.c.parent_candidate_id == candidate_id).distinct().order_by(relatives.c.number)
        with self._database.read() as connection:
            return Lineage(*(tuple(Relative(*row) for row in connection.execute(query)) for query in (up, down)))


def load(connection: Connection, *conditions: ColumnElement[bool]) -> list[CandidateRecord]:
    """The candidates that meet the conditions, references first."""
    table = tables.candidates
    rows = connection.execute(
        select(table).where(*conditions).order_by(table.c.number.is_not(None), table.c.number, table.c.id)
    ).all()
    chosen = select(table.c.id).where(*conditions)
    evaluations = _evaluations(connection, chosen)
    measurements = _measurements(connection, chosen)
    parents = _parents(connection, chosen)
    operators = _operators(connection, chosen)
    return [
        _record(row, evaluations[row.id], measurements[row.id], tuple(parents[row.id]), operators.get(row.id))
        for row in rows
    ]


def _evaluations(connection: Connection, chosen: Any) -> Mapping[str, dict[Stage, EvaluationRecord]]:
    found: dict[str, dict[Stage, EvaluationRecord]] = defaultdict(dict)
    query = select(tables.evaluations).where(tables.evaluations.c.candidate_id.in_(chosen))
    for row in connection.execute(query.order_by(tables.evaluations.c.part, tables.evaluations.c.id)):
        found[row.candidate_id][row.stage] = evaluation_record(row)
    return found


def _measurements(connection: Connection, chosen: Any) -> Mapping[str, dict[Stage, dict[str, Estimate]]]:
    found: dict[str, dict[Stage, dict[str, Estimate]]] = defaultdict(dict)
    for row in connection.execute(select(tables.measurements).where(tables.measurements.c.candidate_id.in_(chosen))):
        error = math.nan if row.standard_error is None else row.standard_error
        found[row.candidate_id].setdefault(row.stage, {})[row.objective] = Estimate(row.value, error, row.items)
    return found


def _parents(connection: Connection, chosen: Any) -> Mapping[str, Sequence[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    links, table = tables.candidate_parents, tables.candidates
    query = select(links.c.child_id, table.c.number).join(table, table.c.id == links.c.parent_candidate_id)
    for child, number in connection.execute(
        query.where(links.c.child_id.in_(chosen)).order_by(links.c.child_id, links.c.ordinal)
    ):
        found[child].append(number)
    return found


def _operators(connection: Connection, chosen: Any) -> Mapping[str, str]:
    table = tables.proposals
    query = select(table.c.candidate_id, table.c.operator).where(table.c.candidate_id.in_(chosen))
    latest_first = query.order_by(table.c.ask_no.desc(), table.c.position.desc())
    return dict(connection.execute(latest_first).all())  # so that the first proposal has the last word


def _record(
    row: Row[Any],
    evaluations: Mapping[Stage, EvaluationRecord],
    measurements: Mapping[Stage, Mapping[str, Estimate]],
    parents: tuple[int, ...],
    operator: str | None,
) -> CandidateRecord:
    return CandidateRecord(
        id=row.id,
        study_id=row.study_id,
        kind=row.kind,
        number=row.number,
        label=row.label,
        ask_no=row.ask_no,
        genome=None if row.genome_json is None else Genome.from_json(row.genome_json),
        recipe=row.recipe_json,
        fingerprint=row.fingerprint,
        operator=operator,
        parents=parents,
        state=row.state,
        failure=row.failure,
        created_at=row.created_at,
        evaluations=evaluations,
        measurements=measurements,
    )


def _insert_reference(
    connection: Connection, database: Database, study_id: str, label: str, recipe: Mapping[str, Any], fingerprint: str
) -> None:
    now = database.now(connection)
    candidate_id = new_id()
    row = {
        "id": candidate_id,
        "study_id": study_id,
        "kind": "reference",
        "label": label,
        "recipe_json": dict(recipe),
        "fingerprint": fingerprint,
        "state": "proposed",
        "created_at": now,
    }
    connection.execute(insert(tables.candidates).values(**row))
    append(connection, now, "candidate.referenced", candidate_id, study_id=study_id, payload={"label": label})
