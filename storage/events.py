"""The journal: what happened, in order, never changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from .database import Database
from .event_feed import EventFeed, event_record, wanted
from .records import Event
from .tables import candidates, events


class Events:
    """Reads the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, study_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """The first `limit` events of a study with an id above `after`, oldest first."""
        query = select(events).where(events.c.study_id == study_id, events.c.id > after)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(events.c.id).limit(limit))
            return [event_record(row) for row in rows]

    def of_type(self, study_id: str, type: str) -> list[Event]:  # noqa: A002  (the field's own word)
        """A study's events of one type, oldest first."""
        query = select(events).where(events.c.study_id == study_id, events.c.type == type).order_by(events.c.id)
        with self._database.read() as connection:
            rows = connection.execute(query)
            return [event_record(row) for row in rows]

    def recent(self, limit: int, study_id: str | None = None, types: Collection[str] = ()) -> list[Event]:
        """The last `limit` events, of a study and of these types if they are given; oldest first."""
        query = select(events).where(*wanted(study_id, types)).order_by(events.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return [event_record(row) for row in connection.execute(query)][::-1]

    def types(self) -> list[str]:
        """The types of the events that there are, sorted."""
        with self._database.read() as connection:
            return sorted(connection.scalars(select(events.c.type).distinct()))

    def feed(self, after: int = 0, study_id: str | None = None, types: Collection[str] = ()) -> EventFeed:
        """Follows the journal from the event with the id `after` on."""
        return EventFeed(self._database, after, study_id, types)

    def note(
        self,
        study_id: str,
        type: str,  # noqa: A002  (the field's own word)
        subject_id: str,
        payload: Mapping[str, Any],
    ) -> None:
        """Writes an event, unless the study has one of this type and subject."""
        same = (events.c.study_id == study_id, events.c.type == type, events.c.subject_id == subject_id)
        with self._database.write() as connection:
            if connection.execute(select(events.c.id).where(*same)).first() is None:
                append(connection, self._database.now(connection), type, subject_id, study_id=study_id, payload=payload)


def append(
    connection: Connection,
    at: datetime,
    type: str,  # noqa: A002  (the field's own word)
    subject_id: str,
    *,
    study_id: str | None = None,
    candidate_id: str | None = None,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Writes an event in the transaction of what it tells of; the study may be given through one of its candidates."""
    row = event_row(at, type, subject_id, study_id, payload or {})
    if study_id is None and candidate_id is not None:
        del row["study_id"]
        connection.execute(_APPEND_OF_CANDIDATE, {**row, "of_candidate": candidate_id})
    else:
        connection.execute(_APPEND, row)


def event_row(
    at: datetime,
    type: str,  # noqa: A002  (the field's own word)
    subject_id: str,
    study_id: str | None,
    payload: Mapping[str, Any],
) -> dict[str, Any]:
    """A row of `events`, for who writes many at once."""
    return {"study_id": study_id, "at": at, "type": type, "subject_id": subject_id, "payload_json": dict(payload)}


# Built once: every step of every evaluation writes one, and building a statement takes as long as executing it.
_APPEND = insert(events)
_APPEND_OF_CANDIDATE = insert(events).values(
    study_id=select(candidates.c.study_id).where(candidates.c.id == bindparam("of_candidate")).scalar_subquery(),
    **{name: bindparam(name) for name in ("at", "type", "subject_id", "payload_json")},
)
