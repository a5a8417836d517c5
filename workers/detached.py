"""Processes that outlive the command that started them; a file remembers which they are: no other is ever ended.

A process is known by its id together with its start time and the boot: ids are used again, above all after a reboot.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from ..core.errors import ConfigurationError
from ..storage.owners import is_dead, process_name

_LOOK_SECONDS = 0.05
_TAIL_LINES = 15


class Remembered:
    """The processes of one folder, by name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def running(self, name: str) -> int | None:
        """The id of a process, or None if it does not run."""
        known = self._read().get(name)
        return int(known.rsplit(":", 2)[1]) if known and not is_dead(known) else None

    def remember(self, name: str, pid: int) -> None:
        """Notes a process that runs."""
        self._write({**self._read(), name: process_name(pid)})

    def end(self, name: str, grace_seconds: float, asking: signal.Signals = signal.SIGTERM) -> bool:
        """Asks a process to end, and makes it end after the grace; returns when it has. False if it did not run."""
        pid = self.running(name)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, asking)
        if not self.wait(name, grace_seconds):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.wait(name, grace_seconds)
        return True

    def wait(self, name: str, seconds: float) -> bool:
        """Waits until a process has ended; whether it has."""
        deadline = time.monotonic() + seconds
        while self.running(name) is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ConfigurationError(
                f"{self._path} is damaged ({error}); end what it names by hand, and remove it"
            ) from error

    def _write(self, content: Mapping[str, str]) -> None:
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(content, indent=2), encoding="utf-8")
        beside.replace(self._path)


def start_detached(line: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> int:
    """Starts a process in a session of its own, where no terminal can end it; its id.

    Args:
        log: what it writes is appended there.
        environment: variables besides those of this process.
    """
    with private_log(log) as opened:
        process = subprocess.Popen(  # noqa: S603  (our own programs)
            line,
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    return process.pid


def private_log(path: Path) -> IO[bytes]:
    """Opens a log to append to; nobody else may read it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def tail(log: Path) -> str:
    """The last lines of a log."""
    with suppress(OSError):
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])
    return ""
