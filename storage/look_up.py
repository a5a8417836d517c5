"""Looking up many rows by a key, in few statements whose size has a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select

_AT_ONCE = 500
"""Values in one statement: databases limit them, and each number of them is another statement to plan."""


def look_up(
    connection: Connection, query: Select[Any], key: ColumnElement[Any], values: Sequence[Any]
) -> dict[Any, Any]:
    """The rows of `query`, which selects a key and a value, that have one of these keys, as a mapping."""
    found: dict[Any, Any] = {}
    for first in range(0, len(values), _AT_ONCE):
        found |= dict(connection.execute(query.where(key.in_(values[first : first + _AT_ONCE]))).all())
    return found
