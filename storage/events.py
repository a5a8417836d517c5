"""The journal: what happened, in order, never changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

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
    study = study_id or select(candidates.c.study_id).where(candidates.c.id == candidate_id).scalar_subquery()
    connection.execute(insert(events).values(**event_row(at, type, subject_id, study, payload or {})))


def event_row(
    at: datetime,
    type: str,  # noqa: A002  (the field's own word)
    subject_id: str,
    study_id: Any,
    payload: Mapping[str, Any],
) -> dict[str, Any]:
    """A row of `events`, for who writes many at once."""
    return {"study_id": study_id, "at": at, "type": type, "subject_id": subject_id, "payload_json": dict(payload)}
