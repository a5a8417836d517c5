"""Looking up many rows by a key, in few statements whose size has a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select

_AT_ONCE = 500
"""Values in one statement: databases limit them, and each number of them is another statement to plan."""

Key = TypeVar("Key")


def look_up(
    connection: Connection, query: Select[Any], key: ColumnElement[Any], values: Sequence[Any]
) -> dict[Any, Any]:
    """The rows of `query`, which selects a key and a value, that have one of these keys, as a mapping."""
    found: dict[Any, Any] = {}
    for portion in in_portions(values):
        found |= dict(connection.execute(query.where(key.in_(portion))).all())
    return found


def in_portions(values: Sequence[Key]) -> Iterator[list[Key]]:
    """The values in order, so many at a time as one statement may have."""
    for first in range(0, len(values), _AT_ONCE):
        yield list(values[first : first + _AT_ONCE])
