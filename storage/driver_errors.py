"""What a driver's refusal means, and what to do about it."""

from __future__ import annotations

import sqlite3

from ..core.errors import StorageError

_SQLITE = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space and resume; everything recorded so far is kept",
    sqlite3.SQLITE_BUSY: "another process has been writing to it for too long: wait or stop that process, and resume; "
    "for many workers use PostgreSQL",
    sqlite3.SQLITE_LOCKED: "another connection of this process is writing to it: let it finish, and resume",
    sqlite3.SQLITE_READONLY: "it may not be written: check the permissions of the file and of its folder",
    sqlite3.SQLITE_PERM: "it may not be written: check the permissions of the file and of its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that the folder exists and may be written",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write: check its health and its free space, and resume",
    sqlite3.SQLITE_NOTADB: "the file is something other than an SQLite database: give another file",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a copy, or rescue it with `sqlite3 FILE .recover`",
}
_POSTGRESQL = {
    "53100": "the server's disk is full: free some space and resume; everything recorded so far is kept",
    "53300": "the server has no connection left: raise max_connections, or run fewer workers",
    "25006": "the server only answers reads (a standby?): give the address of the primary",
    "42501": "this user lacks the rights: grant them, or connect as the owner of the tables",
}
# A connection that fails has no code, only text in the server's language.
_POSTGRESQL_DOWN = (
    "the server does not answer or does not let this user in: check that it runs, the host, port, user and password, "
    "and that the database exists (`createdb`)"
)


def storage_error(original: BaseException | None, where: str, secrets: tuple[str, ...] = ()) -> StorageError:
    """The error to raise in place of the driver's: which database (`where`), what it said, what to do.

    Args:
        secrets: words to blot out wherever they occur.
    """
    said = str(original).strip().splitlines()
    message = f"the database {where} refused ({said[0] if said else type(original).__name__})"
    for secret in secrets:
        message = message.replace(secret, "***")
    advice = _advice(original)
    return StorageError(f"{message}: {advice}" if advice else message)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection was in the way, so that trying again may help."""
    return bool(_sqlite_code(error) == sqlite3.SQLITE_BUSY)


def _sqlite_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code


def _advice(original: BaseException | None) -> str | None:
    if isinstance(original, sqlite3.Error):
        return _SQLITE.get(_sqlite_code(original))
    state = getattr(original, "sqlstate", None)
    if state is None:
        return _POSTGRESQL_DOWN if type(original).__name__ == "OperationalError" else None
    return _POSTGRESQL_DOWN if state[:2] in ("08", "57") else _POSTGRESQL.get(state)
