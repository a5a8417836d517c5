"""Inserts of many rows with one statement, and those that leave alone what is there, in either database's dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.dialects import postgresql, sqlite


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows, which all have the same columns, in their order."""
    if rows:
        connection.execute(insert(table), rows)


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Inserts the rows that break no unique constraint; how many those were."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    added = 0
    for row in rows:
        statement = dialect.insert(table).values(**row).on_conflict_do_nothing().returning(*table.primary_key)
        added += len(connection.execute(statement).all())  # drivers do not agree on the row count of an insert
    return added
