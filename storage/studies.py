"""Studies, and the source checkpoints each of them uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, insert, select, update

from ..core.errors import ConfigurationError, StorageError, did_you_mean
from ..core.genome import content_hash
from .database import Database
from .events import append
from .ids import new_id
from .inserts import insert_missing
from .records import StudyRecord, StudyState
from .tables import models, studies


class Studies:
    """Creates studies and finds them by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, spec: Mapping[str, Any], seed: int, plugin_versions: Mapping[str, str]) -> StudyRecord:
        """A new study.

        Args:
            spec: all that defines the search, JSON-ready.
            seed: in [-2^63, 2^63).

        Raises:
            ConfigurationError: the name is taken, or `spec` has a number that is NaN or infinite.
        """
        try:
            spec_sha256 = content_hash(spec)
        except ValueError as error:
            raise ConfigurationError(f"the study {name!r} cannot be recorded: {error}") from error
        with self._database.write() as connection:
            now = self._database.now(connection)
            study_id = new_id()
            row = {
                "id": study_id,
                "name": name,
                "spec_json": dict(spec),
                "spec_sha256": spec_sha256,
                "seed": seed,
                "state": "created",
                "plugin_versions_json": dict(plugin_versions),
                "created_at": now,
                "updated_at": now,
            }
            if not insert_missing(connection, studies, [row]):
                raise ConfigurationError(
                    f"a study called {name!r} is already in {self._database.where}: resume it, or give another name"
                )
            append(connection, now, "study.created", study_id, study_id=study_id, payload={"name": name})
        return self.get(name)

    def get(self, name: str) -> StudyRecord:
        """The study called `name`.

        Raises:
            ConfigurationError: there is none; the message names those there are.
        """
        with self._database.read() as connection:
            row = connection.execute(select(studies).where(studies.c.name == name)).one_or_none()
            if row is None:
                names = connection.scalars(select(studies.c.name)).all()
                raise ConfigurationError(
                    f"there is no study {name!r} in {self._database.where}. {did_you_mean(name, names)}"
                )
        return _record(row)

    def with_id(self, study_id: str) -> StudyRecord:
        """The study with this id.

        Raises:
            StorageError: there is none.
        """
        with self._database.read() as connection:
            row = connection.execute(select(studies).where(studies.c.id == study_id)).one_or_none()
        if row is None:
            raise StorageError(f"there is no study with id {study_id} in {self._database.where}")
        return _record(row)

    def all(self) -> list[StudyRecord]:
        """Every study, oldest first."""
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(select(studies).order_by(studies.c.id))]

    def set_state(self, study_id: str, state: StudyState) -> None:
        """Notes how the study stands.

        Raises:
            StorageError: there is no such study, or no such state.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            change = update(studies).where(studies.c.id == study_id).values(state=state, updated_at=now)
            if not connection.execute(change).rowcount:
                raise StorageError(f"there is no study with id {study_id} in {self._database.where}")
            append(connection, now, "study.state", study_id, study_id=study_id, payload={"state": state})

    def set_candidates(self, study_id: str, candidates: int) -> StudyRecord:
        """Notes another budget: how many candidates the study shall have in all (`candidates` of its spec).

        Raises:
            StorageError: there is no such study.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            query = select(studies).where(studies.c.id == study_id).with_for_update()
            row = connection.execute(query).one_or_none()
            if row is None:
                raise StorageError(f"there is no study with id {study_id} in {self._database.where}")
            if row.spec_json.get("candidates") != candidates:
                spec = {**row.spec_json, "candidates": candidates}
                change = {"spec_json": spec, "spec_sha256": content_hash(spec), "updated_at": now}
                connection.execute(update(studies).where(studies.c.id == study_id).values(**change))
                payload = {"candidates": candidates}
                append(connection, now, "study.candidates", study_id, study_id=study_id, payload=payload)
        return self.with_id(study_id)

    def record_levels(self, study_id: str, content: Mapping[str, Any]) -> None:
        """Notes what a search of bit-widths starts from, JSON-ready, once; what is known already stays.

        Raises:
            StorageError: there is no such study.
        """
        if self.levels(study_id) is None:
            with self._database.write() as connection:
                query = update(studies).where(studies.c.id == study_id, studies.c.levels_json.is_(None))
                connection.execute(query.values(levels_json=dict(content)))

    def levels(self, study_id: str) -> Mapping[str, Any] | None:
        """What `record_levels` noted; None if nothing was.

        Raises:
            StorageError: there is no such study.
        """
        with self._database.read() as connection:
            row = connection.execute(select(studies.c.levels_json).where(studies.c.id == study_id)).one_or_none()
        if row is None:
            raise StorageError(f"there is no study with id {study_id} in {self._database.where}")
        found: Mapping[str, Any] | None = row.levels_json
        return found

    def record_models(self, study_id: str, fingerprints: Mapping[str, str]) -> None:
        """Notes the SHA-256 of each source checkpoint by its reference; what is known already stays.

        Raises:
            ConfigurationError: a checkpoint is not the one that the study began with; nothing is noted.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            known = dict(connection.execute(_models(study_id)).all())
            for reference, fingerprint in fingerprints.items():
                if reference not in known:
                    row = {"id": new_id(), "study_id": study_id, "reference": reference, "fingerprint": fingerprint}
                    connection.execute(insert(models).values(**row, created_at=now))
                elif known[reference] != fingerprint:
                    raise ConfigurationError(
                        f"the checkpoint {reference!r} has changed since the study began (SHA-256 "
                        f"{fingerprint[:12]}..., was {known[reference][:12]}...): put the old one back, or start "
                        "another study"
                    )

    def models(self, study_id: str) -> dict[str, str]:
        """The SHA-256 of each source checkpoint by its reference."""
        with self._database.read() as connection:
            return dict(connection.execute(_models(study_id)).all())


def _models(study_id: str) -> Any:
    return select(models.c.reference, models.c.fingerprint).where(models.c.study_id == study_id)


def _record(row: Row[Any]) -> StudyRecord:
    return StudyRecord(
        id=row.id,
        name=row.name,
        spec=row.spec_json,
        spec_sha256=row.spec_sha256,
        seed=row.seed,
        state=row.state,
        plugin_versions=row.plugin_versions_json,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
