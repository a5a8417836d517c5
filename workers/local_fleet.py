"""A fleet on one machine: broker, database and workers in one folder, brought up and ended together."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ConfigurationError, HeterosisError
from ..storage import Store
from .detached import Remembered, start_detached, tail
from .local_broker import LocalBroker, write_private
from .local_database import LocalDatabase

WORKERS = "workers"
GRACE_SECONDS = 60.0
"""What workers get to hand back or finish what they evaluate."""

_START_SECONDS = 120.0
_OWN_FILES = (
    "broker.log",
    "database.log",
    "environment",
    "lock",
    "passwords.json",
    "processes.json",
    "valkey.conf",
    "valkey.sock",
    "workers.log",
)


@dataclass(frozen=True)
class Step:
    """One part of the fleet: what it is called, and whether something had to be done for it."""

    name: str
    done: bool


class LocalFleet:
    """Broker, database and workers whose files are all in one folder, which nobody else may look into.

    Args:
        folder: made if need be.

    Raises:
        ConfigurationError: there is something else in the folder, or this system is not supported.
    """

    def __init__(self, folder: Path) -> None:
        if sys.platform == "win32":
            raise ConfigurationError("`heterosis up` needs Linux or macOS; on Windows use servers of your own, or WSL")
        self.folder = folder.expanduser().absolute()
        self._remembered = Remembered(self.folder / "processes.json")

    @property
    def environment(self) -> Path:
        """The file that a shell reads to use the fleet: `source FILE`."""
        return self.folder / "environment"

    @property
    def exists(self) -> bool:
        """Whether there is a fleet in the folder, up or not."""
        return (self.folder / "passwords.json").exists()

    @property
    def log(self) -> Path:
        """What the workers write."""
        return self.folder / "workers.log"

    def up(self, devices: str | None = "all") -> Iterator[Step]:
        """Brings up what is not up yet, part by part.

        Args:
            devices: of the workers, as `heterosis worker --devices` takes them; None: no workers.

        Raises:
            HeterosisError: a part does not start; those before it stay up.
        """
        self._make_folder()
        with self._alone():
            broker, database = self._parts()
            yield Step("broker", broker.start())
            started = database.start()
            Store.open(database.url).close()  # the tables are made once, and not by every worker at the same moment
            yield Step("database", started)
            variables = {"HETEROSIS_STORAGE": database.url, "HETEROSIS_BROKER": broker.url}
            lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
            write_private(self.environment, "".join(lines))
            if devices is not None:
                yield Step(WORKERS, self._start_workers(devices, variables))

    def down(self, grace_seconds: float = GRACE_SECONDS) -> Iterator[Step]:
        """Ends workers, broker and database, in this order; nothing that is recorded is lost."""
        if not self.exists:
            return
        with self._alone():
            broker, database = self._parts()
            yield Step(WORKERS, self._remembered.end(WORKERS, grace_seconds))
            yield Step("broker", broker.stop())
            yield Step("database", database.stop())

    def delete(self) -> None:
        """Removes the fleet's files, the studies in its database too, once it is down; files of others stay.

        Raises:
            ConfigurationError: something still runs.
        """
        if not self.exists:
            return
        running = [name for name in (WORKERS, "broker", "database") if self._remembered.running(name) is not None]
        if running:
            raise ConfigurationError(f"{', '.join(running)} in {self.folder} still run; end them first")
        shutil.rmtree(self.folder / "postgresql", ignore_errors=True)
        for name in _OWN_FILES:
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody's own files
            self.folder.rmdir()

    def _start_workers(self, devices: str, variables: dict[str, str]) -> bool:
        if self._remembered.running(WORKERS) is not None:
            return False
        with Store.open(variables["HETEROSIS_STORAGE"]) as store:
            before = {worker.id for worker in store.workers.all()}
            pid = start_detached(worker_command(devices), self.log, variables)
            self._remembered.remember(WORKERS, pid)
            self._wait_for(lambda: any(worker.id not in before for worker in store.workers.live()))
        return True

    def _wait_for(self, up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not up():
            if self._remembered.running(WORKERS) is None or time.monotonic() > deadline:
                raise HeterosisError(f"no worker came up; {self.log} ends with:\n{tail(self.log)}")
            time.sleep(0.2)

    def _parts(self) -> tuple[LocalBroker, LocalDatabase]:
        passwords = self._passwords()
        return (
            LocalBroker(self.folder, self._remembered, passwords["broker"]),
            LocalDatabase(self.folder, self._remembered, passwords["database"]),
        )

    def _passwords(self) -> dict[str, str]:
        path = self.folder / "passwords.json"
        if not path.exists():
            write_private(path, json.dumps({name: secrets.token_urlsafe(32) for name in ("broker", "database")}))
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def _make_folder(self) -> None:
        if self.folder.exists() and not self.exists and any(self.folder.iterdir()):
            raise ConfigurationError(
                f"{self.folder} holds other things; give a --folder that is empty or does not exist"
            )
        # Root's PostgreSQL runs as another user, who has to pass through; all in it is closed to others all the same.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        self.folder.mkdir(mode=mode, parents=True, exist_ok=True)
        self.folder.chmod(mode)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        import fcntl

        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(f"another `heterosis up` or `down` is at work in {self.folder}") from None
            yield


def worker_command(devices: str) -> list[str]:
    """The command line that keeps a worker on each of the devices."""
    program = "from heterosis.service.cli import main; main()"
    return [sys.executable, "-c", program, "worker", "--devices", devices]
