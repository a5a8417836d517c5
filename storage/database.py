"""A database: SQLite or PostgreSQL, with transactions that either read or write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Row, Select, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..core.errors import ConfigurationError, StorageError, did_you_mean
from .clock import ServerClock
from .driver_errors import storage_error
from .pooling import pooled_engine
from .uninterrupted import uninterrupted

_READ_ONLY = "heterosis_read_only"
_SINGLE = "heterosis_single"
_SECRET_QUERY = {"password", "sslpassword"}


class Database:
    """Connections to one database; safe to share between threads, to be opened anew in each process.

    Attributes:
        engine: SQLAlchemy's; `read` and `write` are the way in.
        where: the URL as it may be shown, without passwords.
        address: the whole URL, for other processes of this machine: never to be shown.
    """

    def __init__(self, url: URL, wait_seconds: float = 30.0) -> None:
        self.where = visible(url)
        self.address = _absolute(url).render_as_string(hide_password=False)
        self._secrets = tuple(_secrets(url))
        self._clock = ServerClock()
        if url.get_backend_name() == "sqlite":
            self.engine = _sqlite_engine(url, wait_seconds)
            self._reader = self.engine.execution_options(**{_READ_ONLY: True})
            self._single = self.engine.execution_options(**{_SINGLE: True})
        else:
            self.engine = _postgresql_engine(url)
            # One snapshot for all the queries of a read, as SQLite gives by itself.
            self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            self._single = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, of one state of the database; it never waits for a writer.

        Keep it short, as any transaction: Ctrl-C waits until it is over.

        Raises:
            StorageError: the database cannot be reached or read.
        """
        with uninterrupted(), self.translated(), self._reader.connect() as connection:
            yield connection

    def rows(self, query: Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """What one query gives: alone it sees one state of the database anyway, and needs no transaction around it.

        Raises:
            StorageError: as `read`.
        """
        with uninterrupted(), self.translated(), self._single.connect() as connection:
            return connection.execute(query, values or {}).all()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end, or leaves no trace if anything is raised; Ctrl-C waits for its end.

        Raises:
            StorageError: the database cannot be reached or written.
        """
        with uninterrupted(), self.translated(), self.engine.begin() as connection:
            yield connection

    def now(self, connection: Connection) -> datetime:
        """The time by the clock that all users of this database share: the server's, or SQLite's only host's."""
        if connection.dialect.name == "sqlite":
            return datetime.now(UTC)
        return self._clock.now(connection)

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns a driver's error, or a value that no column can hold, into a StorageError."""
        try:
            yield
        except DBAPIError as error:
            raise storage_error(error.orig, self.where, self._secrets) from error
        except sqlite3.Error as error:
            raise storage_error(error, self.where, self._secrets) from error
        except PoolTimeout as error:
            raise StorageError(f"all connections that this process may have to {self.where} are in use") from error
        except StatementError as error:
            raise StorageError(f"nothing was recorded in {self.where}: {error.orig}") from error


def parse_url(given: str | Path) -> URL:
    """The URL of a database: `sqlite:///FILE`, `postgresql://USER@HOST/NAME`, or the plain path of an SQLite file.

    Raises:
        ConfigurationError: it cannot be understood, is kept in memory only, or needs another kind of database.
    """
    if isinstance(given, Path) or "://" not in given:
        url = URL.create("sqlite", database=str(given))
    else:
        try:
            url = make_url(given)
        except (ArgumentError, ValueError):
            raise ConfigurationError(
                "the database URL cannot be read; write sqlite:///FILE or postgresql://USER@HOST/NAME"
            ) from None  # the cause would show the URL, password and all
    backend = {"postgres": "postgresql"}.get(url.get_backend_name(), url.get_backend_name())
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigurationError(
            f"no database of kind {backend!r} can be used. {did_you_mean(backend, ['sqlite', 'postgresql'])}"
        )
    if url.database in (None, "", ":memory:") or url.query:
        raise ConfigurationError(f"{visible(url)} names no file: a study has to outlive the process; give a file")
    return url.set(drivername="sqlite")


def visible(url: URL) -> str:
    """The URL with every password blotted out."""
    hidden = {key: "***" if key in _SECRET_QUERY else value for key, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True)


def _absolute(url: URL) -> URL:
    if url.get_backend_name() != "sqlite":
        return url
    return url.set(database=str(Path(str(url.database)).resolve()))


def _secrets(url: URL) -> Iterator[str]:
    if url.password:
        yield str(url.password)
    for key in _SECRET_QUERY & url.query.keys():
        value = url.query[key]
        yield from [value] if isinstance(value, str) else value


def _sqlite_engine(url: URL, wait_seconds: float) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": wait_seconds})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and then writes fails at once if another has written meanwhile, whatever the
        # timeout; one that takes the write lock first waits for its turn.
        options = connection.get_execution_options()
        if not options.get(_SINGLE, False):
            connection.exec_driver_sql("BEGIN" if options.get(_READ_ONLY, False) else "BEGIN IMMEDIATE")

    return engine


def _postgresql_engine(url: URL) -> Engine:
    try:
        return pooled_engine(url)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{visible(url)} needs psycopg, which is missing: pip install 'heterosis[postgresql]'"
        ) from error
