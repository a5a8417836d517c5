"""Inserts of many rows with one statement, and those that leave alone what is there, in either database's dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, Table, bindparam, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows, which all have the same columns, in their order."""
    if len(rows) == 1:  # which drivers send in fewer steps than a list of one
        connection.execute(_insert(table), rows[0])
    elif rows:
        connection.execute(_insert(table), rows)


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Inserts the rows that break no unique constraint; how many those were."""
    added = 0
    for row in rows:
        statement = _insert_missing(connection.dialect.name, table, tuple(row))
        added += len(connection.execute(statement, row).all())  # drivers do not agree on the row count of an insert
    return added


@cache
def _insert(table: Table) -> Insert:
    return insert(table)


@cache
def _insert_missing(dialect: str, table: Table, columns: tuple[str, ...]) -> ReturningInsert[Any]:
    """Built once for each kind of row: building a statement takes as long as executing it."""
    insert_ = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    values = {name: bindparam(name, type_=table.c[name].type) for name in columns}
    built: ReturningInsert[Any] = insert_.values(values).on_conflict_do_nothing().returning(*table.primary_key)
    return built
