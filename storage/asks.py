"""Asks: what the optimizer proposed, recorded whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, select, update

from ..core.errors import StorageError
from . import tables
from .candidate_loader import Loader
from .database import Database
from .events import append
from .inserts import insert_missing
from .recording import Recording
from .records import AskRecord, CandidateRecord, NewProposal, Stage, ToldRecord


class Asks:
    """Records asks, and gives them back in order so that an optimizer can be brought to the same state again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self,
        study_id: str,
        ask_no: int,
        proposals: Sequence[NewProposal],
        stage: Stage = "search",
        tells_before: int | None = None,
    ) -> list[CandidateRecord]:
        """Makes candidates of the proposals and queues their evaluation at `stage`, in one transaction.

        New candidates are numbered on from the study's last (from 0), in the order proposed. A recipe that the study
        has already, or that comes twice here, is the candidate it was first. Recording an `ask_no` again changes
        nothing and gives what was recorded.

        Args:
            tells_before: how many asks had been told, where results are told as they arrive; None where asks take
                turns.

        Returns:
            One candidate for each proposal, in order.

        Raises:
            PluginError: a proposal names a parent that is not there; nothing is recorded.
        """
        with self._database.write() as connection:
            # Two writers of one study take turns (SQLite: they do so anyway), so numbers have no gaps.
            connection.execute(_LOCK, {"study": study_id})
            now = self._database.now(connection)
            ask = {"study_id": study_id, "ask_no": ask_no, "created_at": now, "tells_before": tells_before}
            if insert_missing(connection, tables.asks, [ask]):
                Recording(connection, now, study_id, ask_no, stage).record(proposals)
            proposed = _OF_ASK.load(connection, study=study_id, ask=ask_no)
            return [proposal.candidate for _, proposal in proposed]

    def all(self, study_id: str) -> list[AskRecord]:
        """Every ask of the study, in order, with what is known of its candidates now."""
        query = select(tables.asks).where(tables.asks.c.study_id == study_id).order_by(tables.asks.c.ask_no)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            proposed: dict[int, list[_Proposed]] = {row.ask_no: [] for row in rows}
            for ask_no, proposal in _OF_STUDY.load(connection, study=study_id):
                proposed[ask_no].append(proposal)
        return [
            AskRecord(
                row.ask_no,
                tuple(proposal.candidate for proposal in proposed[row.ask_no]),
                tuple(proposal.operator for proposal in proposed[row.ask_no]),
                _told([proposal.told for proposal in proposed[row.ask_no]]),
                row.created_at,
                row.told_at,
                row.tells_before,
                row.tell_no,
            )
            for row in rows
        ]

    def mark_told(
        self, study_id: str, ask_no: int, told: Sequence[ToldRecord | None], tell_no: int | None = None
    ) -> None:
        """Notes what the optimizer has learned of each proposal of an ask (None: it failed); the first time counts.

        Args:
            tell_no: how many asks had been told before, where results are told as they arrive.

        Raises:
            StorageError: no such ask is recorded.
        """
        ask = (tables.asks.c.study_id == study_id, tables.asks.c.ask_no == ask_no)
        with self._database.write() as connection:
            now = self._database.now(connection)
            untold = (
                update(tables.asks).where(*ask, tables.asks.c.told_at.is_(None)).values(told_at=now, tell_no=tell_no)
            )
            if connection.execute(untold).rowcount:
                _write_told(connection, study_id, ask_no, told)
                append(connection, now, "ask.told", str(ask_no), study_id=study_id)
            elif connection.execute(select(tables.asks.c.ask_no).where(*ask)).first() is None:
                raise StorageError(f"study {study_id} has no ask {ask_no}")


class _Proposed(NamedTuple):
    candidate: CandidateRecord
    operator: str
    told: Mapping[str, Any] | None


class _Proposals:
    """Reads what was proposed: in one ask, or in all of a study's."""

    def __init__(self, *conditions: ColumnElement[bool]) -> None:
        table = tables.proposals
        self._rows = select(table).where(*conditions).order_by(table.c.ask_no, table.c.position)
        self._candidates = Loader(tables.candidates.c.id.in_(select(table.c.candidate_id).where(*conditions)))

    def load(self, connection: Connection, **values: Any) -> list[tuple[int, _Proposed]]:
        known = {candidate.id: candidate for candidate in self._candidates.load(connection, **values)}
        rows = connection.execute(self._rows, values)
        return [(row.ask_no, _Proposed(known[row.candidate_id], row.operator, row.told_json)) for row in rows]


def _write_told(connection: Connection, study_id: str, ask_no: int, told: Sequence[ToldRecord | None]) -> None:
    ask = {"study": study_id, "ask": ask_no}
    rows = [{**ask, "place": place, "content": _content(record)} for place, record in enumerate(told)]
    if rows:
        connection.execute(_TELL, rows[0] if len(rows) == 1 else rows)


def _content(record: ToldRecord | None) -> dict[str, Any]:
    if record is None:
        return {"failed": True}
    errors = [None if math.isnan(error) else error for error in record.errors]
    return {"values": list(record.values), "errors": errors}


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


# Built once: building a statement takes as long as executing it.
_STUDY = tables.proposals.c.study_id == bindparam("study")
_ASK = tables.proposals.c.ask_no == bindparam("ask")
_OF_STUDY = _Proposals(_STUDY)
_OF_ASK = _Proposals(_STUDY, _ASK)
_PLACE = tables.proposals.c.position == bindparam("place")
_TELL = update(tables.proposals).where(_STUDY, _ASK, _PLACE).values(told_json=bindparam("content"))
_LOCK = select(tables.studies.c.id).where(tables.studies.c.id == bindparam("study")).with_for_update()
