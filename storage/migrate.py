"""Brings a database to the schema that this version knows, and refuses one that it does not know."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, inspect, select

from ..core.errors import StorageError
from .database import Database, parse_url
from .driver_errors import is_busy
from .tables import metadata
from .uninterrupted import uninterrupted

_POSTGRESQL_LOCK = 0x48455445524F  # any number that is this program's own


def open_database(given: str | Path, wait_seconds: float = 30.0) -> Database:
    """Opens a database, made or brought up to date if need be.

    Args:
        given: a URL, or the plain path of an SQLite file.
        wait_seconds: how long to wait for another writer (SQLite).

    Raises:
        ConfigurationError: the URL cannot be used.
        StorageError: the database cannot be reached, or has tables of another program or of a newer version; it is
            left as it was.
    """
    database = Database(parse_url(given), wait_seconds)
    try:
        upgrade(database)
    except BaseException:
        database.close()
        raise
    return database


def upgrade(database: Database) -> None:
    """Applies the migrations that are missing, all or none; several processes may do so at once.

    Raises:
        StorageError: as `open_database`.
    """
    with database.read() as connection:
        current = _is_current(database, connection)
    if database.engine.dialect.name == "sqlite":
        _use_write_ahead_log(database)
    if current:
        return
    with (
        uninterrupted(),
        database.translated(),
        database.engine.connect() as connection,
        _unchecked_foreign_keys(connection),
        connection.begin(),
    ):
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_POSTGRESQL_LOCK)))
        if not _is_current(database, connection):  # another process may have been faster
            command.upgrade(_config(connection), "head")


def draft_revision(database: Database, message: str) -> None:
    """For developers: writes the migration that the tables need into the package's `versions` folder."""
    with database.engine.begin() as connection:
        command.revision(_config(connection), message, autogenerate=True)


def _is_current(database: Database, connection: Connection) -> bool:
    script = ScriptDirectory.from_config(_config(connection))
    known = {revision.revision for revision in script.walk_revisions()}
    found = set(MigrationContext.configure(connection).get_current_heads())
    if not found <= known:
        from .. import __version__

        raise StorageError(
            f"the database {database.where} has schema revision {', '.join(sorted(found))!r}; Heterosis {__version__} "
            f"knows none after {script.get_current_head()!r}. It was written by a newer version (pip install --upgrade "
            "heterosis) or by another program (give another database). It was left as it is."
        )
    foreign = set(inspect(connection).get_table_names()) & set(metadata.tables)
    if not found and foreign:
        raise StorageError(
            f"the database {database.where} has tables of another program ({', '.join(sorted(foreign))}); "
            "give another database. It was left as it is."
        )
    return found == set(script.get_heads())


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=connection, metadata=metadata)
    return config


@contextmanager
def _unchecked_foreign_keys(connection: Connection) -> Iterator[None]:
    """SQLite alters a table by replacing it, which must not count as deleting what others refer to."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA foreign_keys=OFF")  # the driver's own, as it has no effect inside a transaction
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _use_write_ahead_log(database: Database) -> None:
    """Lets readers and a writer work side by side; a property of the file, so it is set once."""
    deadline = time.monotonic() + 10.0
    while True:
        try:
            with uninterrupted():
                mode = _switch_to_write_ahead_log(database)
            break
        except sqlite3.OperationalError as error:  # the driver's own patience does not cover this switch
            if not is_busy(error) or time.monotonic() > deadline:
                with database.translated():
                    raise
        time.sleep(0.05)
    if mode != "wal":
        raise StorageError(
            f"the database {database.where} is on a file system without shared memory (a network drive?): "
            "give a file on a local disk, or use PostgreSQL"
        )


def _switch_to_write_ahead_log(database: Database) -> str:
    connection = database.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        return str(cursor.fetchall()[0][0])
    finally:
        connection.close()
