"""Candidates: reading them, and recording the references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from ..core.errors import ConfigurationError, StorageError
from . import tables
from .candidate_loader import Loader
from .database import Database
from .events import append
from .ids import new_id
from .look_up import in_portions
from .records import CandidateKind, CandidateRecord, Lineage, Relative
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
            found = _BY_ID.load(connection, ids=[candidate_id])
        if not found:
            raise StorageError(f"there is no candidate with id {candidate_id} in {self._database.where}")
        return found[0]

    def all(self, study_id: str, kind: CandidateKind | None = None) -> list[CandidateRecord]:
        """A study's candidates: references as they were added, then the bred by number."""
        conditions = [tables.candidates.c.study_id == study_id]
        if kind is not None:
            conditions.append(tables.candidates.c.kind == kind)
        with self._database.read() as connection:
            return Loader(*conditions).load(connection)

    def several(self, candidate_ids: Sequence[str]) -> dict[str, CandidateRecord]:
        """Those with these ids that there are, by id."""
        with self._database.read() as connection:
            portions = [_BY_ID.load(connection, ids=ids) for ids in in_portions(candidate_ids)]
        return {candidate.id: candidate for portion in portions for candidate in portion}

    def numbered(self, study_id: str, number: int) -> CandidateRecord | None:
        """A study's bred candidate with this number, or None if there is none."""
        with self._database.read() as connection:
            found = _BY_NUMBER.load(connection, study=study_id, number=number)
        return found[0] if found else None

    def count(self, study_id: str) -> int:
        """How many candidates a study has bred; they are numbered from 0."""
        with self._database.read() as connection:
            return next_number(connection, study_id)

    def recipes(self, candidate_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """How to build these candidates, JSON-ready, by id: all that an evaluation has to know of them."""
        portions = [self._database.rows(_RECIPES, {"ids": ids}) for ids in in_portions(candidate_ids)]
        return {row.id: row.recipe_json for rows in portions for row in rows}

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
            return Loader(*same).load(connection)[0]

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


def next_number(connection: Connection, study_id: str) -> int:
    """The number that a study's next bred candidate gets; they are numbered from 0, without gaps."""
    last: int | None = connection.scalar(_LAST, {"study": study_id})
    return 0 if last is None else last + 1


# Built once: building a statement takes as long as executing it.
_BY_ID = Loader(tables.candidates.c.id.in_(bindparam("ids", expanding=True)))
_BY_NUMBER = Loader(
    tables.candidates.c.study_id == bindparam("study"), tables.candidates.c.number == bindparam("number")
)
_RECIPES = select(tables.candidates.c.id, tables.candidates.c.recipe_json).where(
    tables.candidates.c.id.in_(bindparam("ids", expanding=True))
)
_LAST = select(func.max(tables.candidates.c.number)).where(tables.candidates.c.study_id == bindparam("study"))
