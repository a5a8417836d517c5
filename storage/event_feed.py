"""Following the journal: every event once, in order, none missed, whatever order transactions commit in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, text

from .database import Database
from .records import Event
from .tables import events

# Whoever writes an event holds this lock from before the event has its id until the transaction has ended.
_WRITERS = text(
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' "
    "AND relation = 'events'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclass(frozen=True)
class _Frontier:
    """The newest event that was seen, and who was writing then."""

    event_id: int
    writers: frozenset[str]


class EventFeed:
    """Reads the journal from a cursor on. A reader that remembers `cursor` misses nothing and sees nothing twice.

    PostgreSQL numbers events when they are written and shows them when their transaction commits, so number 8 may be
    seen before number 7: a reader that then goes on after 8 never sees 7. So nothing is given past a frontier until
    every transaction that was writing when the frontier was noted has ended; one that begins later gets higher numbers.
    That takes as long as the longest such transaction, usually milliseconds. (Rows' transaction numbers would not do:
    a transaction may take its number before, and its event's id after, another's.) SQLite has one writer at a time.

    Attributes:
        cursor: id of the last event that was looked at, given or not; a feed made with it goes on from there.
    """

    def __init__(self, database: Database, after: int = 0, study_id: str | None = None, types: Collection[str] = ()):
        self.cursor = after
        self._database = database
        self._wanted = wanted(study_id, types)
        self._settled = after
        self._frontier: _Frontier | None = None

    @property
    def waits(self) -> bool:
        """Whether there are events that may not be given yet, for the sake of order."""
        return self._frontier is not None

    def read(self, limit: int = 1000) -> list[Event]:
        """The next events, at most `limit`, oldest first; empty if nothing has happened that can be told yet."""
        self._settle()
        if self._settled <= self.cursor:
            return []
        query = select(events).where(events.c.id > self.cursor, events.c.id <= self._settled, *self._wanted)
        with self._database.read() as connection:
            found = [event_record(row) for row in connection.execute(query.order_by(events.c.id).limit(limit))]
        self.cursor = found[-1].id if len(found) == limit else self._settled
        return found

    def _settle(self) -> None:
        """Moves the settled end on. Each look is a transaction of its own, so that it sees what the last could not."""
        if self._frontier is None:
            newest = self._newest()
            self._frontier = _Frontier(newest, self._writers())
            still = self._frontier.writers
        else:
            still = self._frontier.writers & self._writers()
        if not still:
            self._settled = max(self._settled, self._frontier.event_id)
            self._frontier = None

    def _newest(self) -> int:
        with self._database.read() as connection:
            return connection.scalar(select(func.max(events.c.id))) or 0

    def _writers(self) -> frozenset[str]:
        with self._database.read() as connection:
            if connection.dialect.name == "sqlite":
                return frozenset()
            return frozenset(connection.scalars(_WRITERS))


def event_record(row: Row[Any]) -> Event:
    """The record of a row of `events`."""
    return Event(row.id, row.study_id, row.at, row.type, row.subject_id, row.payload_json)


def wanted(study_id: str | None, types: Collection[str]) -> list[ColumnElement[bool]]:
    """The conditions that events are of a study (None: of any, or none) and of these types (empty: any)."""
    conditions: list[ColumnElement[bool]] = []
    if study_id is not None:
        conditions.append(events.c.study_id == study_id)
    if types:
        conditions.append(events.c.type.in_(tuple(types)))
    return conditions
