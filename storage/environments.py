"""Environments: what computed a result (code, plugins, libraries, device), kept once however many results name it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from ..core.errors import StorageError
from ..core.genome import content_hash
from .database import Database
from .inserts import insert_missing
from .tables import environments


class Environments:
    """Notes environments; an id is the SHA-256 of the content's canonical JSON, so equal ones are one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, content: Mapping[str, Any]) -> str:
        """Notes an environment, unless it is known; its id.

        Args:
            content: JSON-ready, without anything that differs between two runs of the same (times, process ids).

        Raises:
            StorageError: a number in it is NaN or infinite.
        """
        try:
            environment_id = content_hash(dict(content))
        except (ValueError, TypeError) as error:
            raise StorageError(f"the environment cannot be recorded: {error}") from error
        with self._database.write() as connection:
            row = {"id": environment_id, "content_json": dict(content), "created_at": self._database.now(connection)}
            insert_missing(connection, environments, [row])
        return environment_id

    def get(self, environment_id: str) -> Mapping[str, Any]:
        """The content of an environment.

        Raises:
            StorageError: there is none with this id.
        """
        with self._database.read() as connection:
            query = select(environments.c.content_json).where(environments.c.id == environment_id)
            content = connection.scalars(query).one_or_none()
        if content is None:
            raise StorageError(f"there is no environment with id {environment_id} in {self._database.where}")
        found: Mapping[str, Any] = content
        return found
