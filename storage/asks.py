"""Asks: what the optimizer proposed, recorded whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from ..core.errors import PluginError, StorageError
from . import candidates, tables
from .database import Database
from .events import append
from .ids import new_id
from .inserts import insert_missing
from .queue import new_evaluation
from .records import AskRecord, CandidateRecord, NewProposal, Stage, ToldRecord


class Asks:
    """Records asks, and gives them back in order so that an optimizer can be brought to the same state again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, study_id: str, ask_no: int, proposals: Sequence[NewProposal], stage: Stage = "search"
    ) -> list[CandidateRecord]:
        """Makes candidates of the proposals and queues their evaluation at `stage`, in one transaction.

        New candidates are numbered on from the study's last (from 0), in the order proposed. A recipe that the study
        has already, or that comes twice here, is the candidate it was first. Recording an `ask_no` again changes
        nothing and gives what was recorded.

        Returns:
            One candidate for each proposal, in order.

        Raises:
            PluginError: a proposal names a parent that is not there; nothing is recorded.
        """
        with self._database.write() as connection:
            # Two writers of one study take turns (SQLite: they do so anyway), so numbers have no gaps.
            connection.execute(select(tables.studies.c.id).where(tables.studies.c.id == study_id).with_for_update())
            now = self._database.now(connection)
            if insert_missing(connection, tables.asks, [{"study_id": study_id, "ask_no": ask_no, "created_at": now}]):
                _Recording(connection, now, study_id, ask_no, stage).record(proposals)
            return [proposal.candidate for _, proposal in _proposed(connection, study_id, ask_no)]

    def all(self, study_id: str) -> list[AskRecord]:
        """Every ask of the study, in order, with what is known of its candidates now."""
        query = select(tables.asks).where(tables.asks.c.study_id == study_id).order_by(tables.asks.c.ask_no)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            proposed: dict[int, list[_Proposed]] = {row.ask_no: [] for row in rows}
            for ask_no, proposal in _proposed(connection, study_id):
                proposed[ask_no].append(proposal)
        return [
            AskRecord(
                row.ask_no,
                tuple(proposal.candidate for proposal in proposed[row.ask_no]),
                tuple(proposal.operator for proposal in proposed[row.ask_no]),
                _told([proposal.told for proposal in proposed[row.ask_no]]),
                row.created_at,
                row.told_at,
            )
            for row in rows
        ]

    def mark_told(self, study_id: str, ask_no: int, told: Sequence[ToldRecord | None]) -> None:
        """Notes what the optimizer has learned of each proposal of an ask (None: it failed); the first time counts.

        Raises:
            StorageError: no such ask is recorded.
        """
        ask = (tables.asks.c.study_id == study_id, tables.asks.c.ask_no == ask_no)
        with self._database.write() as connection:
            now = self._database.now(connection)
            untold = update(tables.asks).where(*ask, tables.asks.c.told_at.is_(None)).values(told_at=now)
            if connection.execute(untold).rowcount:
                _write_told(connection, study_id, ask_no, told)
                append(connection, now, "ask.told", str(ask_no), study_id=study_id)
            elif connection.execute(select(tables.asks.c.ask_no).where(*ask)).first() is None:
                raise StorageError(f"study {study_id} has no ask {ask_no}")


class _Recording:
    """One ask on its way into the database."""

    def __init__(self, connection: Connection, now: datetime, study_id: str, ask_no: int, stage: Stage) -> None:
        self._connection, self._now = connection, now
        self._study_id, self._ask_no, self._stage = study_id, ask_no, stage

    def record(self, proposals: Sequence[NewProposal]) -> None:
        bred = self._bred()
        by_fingerprint = {row.fingerprint: row.id for row in bred}
        by_number = {row.number: row.id for row in bred}
        pointers: list[dict[str, Any]] = []
        for position, proposal in enumerate(proposals):
            candidate_id = by_fingerprint.get(proposal.fingerprint)
            if candidate_id is None:
                candidate_id = self._add(proposal, len(by_fingerprint), by_number)
                by_fingerprint[proposal.fingerprint] = candidate_id
            pointers.append(
                {
                    "study_id": self._study_id,
                    "ask_no": self._ask_no,
                    "position": position,
                    "candidate_id": candidate_id,
                    "operator": proposal.operator,
                }
            )
        if pointers:
            self._connection.execute(insert(tables.proposals), pointers)
        self._event("ask.recorded", str(self._ask_no), {"proposals": len(proposals)})

    def _bred(self) -> Sequence[Any]:
        table = tables.candidates
        query = select(table.c.id, table.c.number, table.c.fingerprint)
        return self._connection.execute(query.where(table.c.study_id == self._study_id, table.c.kind == "bred")).all()

    def _add(self, proposal: NewProposal, number: int, by_number: dict[int, str]) -> str:
        strangers = [parent for parent in proposal.parents if parent not in by_number]
        if strangers:
            raise PluginError(
                f"the optimizer names candidate {strangers[0]} as a parent; "
                f"before this ask the study has {len(by_number)} candidates, numbered from 0"
            )
        row = {
            "id": new_id(),
            "study_id": self._study_id,
            "kind": "bred",
            "number": number,
            "ask_no": self._ask_no,
            "genome_json": proposal.genome.to_json(),
            "recipe_json": dict(proposal.recipe),
            "fingerprint": proposal.fingerprint,
            "state": "proposed",
            "created_at": self._now,
        }
        candidate_id = str(row["id"])
        self._connection.execute(insert(tables.candidates).values(**row))
        links = [
            {"child_id": candidate_id, "ordinal": place, "parent_candidate_id": by_number[parent]}
            for place, parent in enumerate(proposal.parents)
        ]
        if links:
            self._connection.execute(
                insert(tables.candidate_parents), [{**link, "operator": proposal.operator} for link in links]
            )
        self._event("candidate.proposed", candidate_id, {"number": number, "operator": proposal.operator})
        if proposal.eval_key is not None:
            new_evaluation(self._connection, self._now, candidate_id, self._stage, proposal.eval_key)
        return candidate_id

    def _event(self, type: str, subject_id: str, payload: dict[str, Any]) -> None:  # noqa: A002
        append(self._connection, self._now, type, subject_id, study_id=self._study_id, payload=payload)


class _Proposed(NamedTuple):
    candidate: CandidateRecord
    operator: str
    told: Mapping[str, Any] | None


def _proposed(connection: Connection, study_id: str, ask_no: int | None = None) -> list[tuple[int, _Proposed]]:
    table = tables.proposals
    conditions = [table.c.study_id == study_id]
    if ask_no is not None:
        conditions.append(table.c.ask_no == ask_no)
    chosen = select(table.c.candidate_id).where(*conditions)
    known = {candidate.id: candidate for candidate in candidates.load(connection, tables.candidates.c.id.in_(chosen))}
    rows = connection.execute(select(table).where(*conditions).order_by(table.c.ask_no, table.c.position))
    return [(row.ask_no, _Proposed(known[row.candidate_id], row.operator, row.told_json)) for row in rows]


def _write_told(connection: Connection, study_id: str, ask_no: int, told: Sequence[ToldRecord | None]) -> None:
    table = tables.proposals
    for position, record in enumerate(told):
        content: dict[str, Any] = {"failed": True}
        if record is not None:
            errors = [None if math.isnan(error) else error for error in record.errors]
            content = {"values": list(record.values), "errors": errors}
        place = (table.c.study_id == study_id, table.c.ask_no == ask_no, table.c.position == position)
        connection.execute(update(table).where(*place).values(told_json=content))


def _told(contents: Sequence[Mapping[str, Any] | None]) -> tuple[ToldRecord | None, ...] | None:
    found: list[ToldRecord | None] = []
    for content in contents:
        if content is None:
            return None
        if "failed" in content:
            found.append(None)
        else:
            errors = tuple(math.nan if error is None else error for error in content["errors"])
            found.append(ToldRecord(tuple(content["values"]), errors))
    return tuple(found)
