"""Artifacts: what was written to disk for a candidate, and the hash it had."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from ..core.errors import StorageError
from .database import Database
from .events import append
from .inserts import insert_missing
from .records import ArtifactRecord
from .tables import artifact_links, artifacts, candidates, events

_MEASURED = "export.measured"


class Artifacts:
    """Notes artifacts (an exported model, say) of candidates. The bytes come first, the note second."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, candidate_id: str, kind: str, path: Path, sha256: str, size_bytes: int) -> ArtifactRecord:
        """Notes what is at `path` now; an older note for the same candidate and path is replaced.

        Raises:
            StorageError: there is no such candidate.
        """
        place = str(path.resolve())
        with self._database.write() as connection:
            now = self._database.now(connection)
            if connection.execute(select(candidates.c.id).where(candidates.c.id == candidate_id)).first() is None:
                raise StorageError(f"there is no candidate with id {candidate_id} in {self._database.where}")
            insert_missing(
                connection,
                artifacts,
                [{"sha256": sha256, "kind": kind, "size_bytes": size_bytes, "created_at": now}],
            )
            link = {"owner_kind": "candidate", "owner_id": candidate_id, "path": place}
            connection.execute(delete(artifact_links).where(*(artifact_links.c[key] == link[key] for key in link)))
            connection.execute(insert(artifact_links).values(**link, sha256=sha256, created_at=now))
            payload = {"kind": kind, "path": place, "sha256": sha256}
            append(connection, now, "artifact.recorded", sha256, candidate_id=candidate_id, payload=payload)
        return ArtifactRecord(sha256, kind, size_bytes, place, now)

    def note_export(self, candidate_id: str, figures: Mapping[str, Any]) -> None:
        """Notes what was measured of a candidate's exported model.

        Args:
            figures: JSON-ready: `format` and `path`, and what was measured by name.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            note_measured(connection, now, candidate_id, figures)

    def exports(self, candidate_id: str) -> list[Mapping[str, Any]]:
        """What was noted by `note_export`, oldest first; of a path that was written again, only the last."""
        found = [figures for figures in self._measured(candidate_id) if "path" in figures]
        return list({figures["path"]: figures for figures in found}.values())

    def engine(self, candidate_id: str) -> Mapping[str, Any] | None:
        """What was measured of a candidate in its engine when it was last evaluated: `format`, and figures by name."""
        found = [figures for figures in self._measured(candidate_id) if "path" not in figures]
        return found[-1] if found else None

    def _measured(self, candidate_id: str) -> list[dict[str, Any]]:
        study = select(candidates.c.study_id).where(candidates.c.id == candidate_id).scalar_subquery()
        query = select(events.c.payload_json).where(
            events.c.study_id == study, events.c.type == _MEASURED, events.c.subject_id == candidate_id
        )
        with self._database.read() as connection:
            return [dict(payload) for payload in connection.scalars(query.order_by(events.c.id))]

    def of(self, candidate_id: str) -> list[ArtifactRecord]:
        """The artifacts of a candidate, oldest first."""
        query = (
            select(artifacts.c.sha256, artifacts.c.kind, artifacts.c.size_bytes)
            .add_columns(artifact_links.c.path, artifact_links.c.created_at)
            .join(artifact_links, artifact_links.c.sha256 == artifacts.c.sha256)
            .where(artifact_links.c.owner_kind == "candidate", artifact_links.c.owner_id == candidate_id)
            .order_by(artifact_links.c.created_at, artifact_links.c.path)
        )
        with self._database.read() as connection:
            return [ArtifactRecord(*row) for row in connection.execute(query)]


def note_measured(connection: Connection, now: datetime, candidate_id: str, figures: Mapping[str, Any]) -> None:
    """Notes, in a transaction, what was measured of a candidate in an engine; a `path` if its export is kept."""
    append(connection, now, _MEASURED, candidate_id, candidate_id=candidate_id, payload=figures)
