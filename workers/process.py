"""A worker's process, `python -m heterosis.workers.process`: told by its keeper what to be, woken, and ended.

The first line on standard input says what it is (`Told`), in JSON; a further line wakes it; the end of input, SIGTERM
or Ctrl-C ends it in an orderly way. The database and the broker are named by the environment, where no list of
processes shows them.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import Any

from ..core.errors import HeterosisError, StorageError
from ..storage import Store
from . import logs
from .settings import WorkerSettings
from .telemetry import flush
from .worker import Worker

STORAGE_VARIABLE, BROKER_VARIABLE = "HETEROSIS_STORAGE", "HETEROSIS_BROKER"
REFUSED_STATUS = 2
"""The exit status of a process that would end the same way if it were started again."""

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Told:
    """What a keeper tells a process of its own.

    Attributes:
        name: of this worker on this host, unlike any other's.
        metrics_port: where it serves metrics; 0: nowhere.
        grace_seconds: what runs may take so long when it is to end; then it is handed back.
    """

    settings: WorkerSettings
    name: str
    log_format: logs.LogFormat = "text"
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    grace_seconds: float = 30.0

    def to_json(self) -> dict[str, Any]:
        """JSON-ready content that `from_json` reads back."""
        return {**vars(self), "settings": self.settings.to_json()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Told:
        """Reads what `to_json` wrote."""
        return cls(**{**content, "settings": WorkerSettings.from_json(content["settings"])})


def main() -> int:
    """Works until it is told to end; the exit status."""
    told = Told.from_json(json.loads(sys.stdin.readline()))
    logs.set_up(told.log_format, worker=told.name)
    try:
        with Store.open(os.environ[STORAGE_VARIABLE]) as store:
            worker = Worker(store, told.settings)
            if told.metrics_port:
                worker.metrics.watch(store)
                worker.metrics.serve(told.metrics_port, told.metrics_host)
            if told.settings.kind == "celery":
                return _celery(worker, told)
            _work(worker, told)
    except StorageError as error:
        _log.error("%s", error)
        return 1
    except HeterosisError as error:
        _log.error("%s", error)
        return REFUSED_STATUS
    finally:
        flush()
    return 0


def _celery(worker: Worker, told: Told) -> int:
    from .broker import parse_broker, require_celery

    require_celery()
    from .celery_worker import run_celery_worker

    threading.Thread(target=_until_orphaned, name="keeper", daemon=True).start()
    return run_celery_worker(
        worker,
        parse_broker(os.environ[BROKER_VARIABLE]),
        told.settings.queues,
        told.name,
        grace_seconds=told.grace_seconds,
        note_end=worker.stop,
    )


def _until_orphaned() -> None:
    """Ends this process in an orderly way when its keeper is gone: nobody would start it again, or end it."""
    for _ in sys.stdin:
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _work(worker: Worker, told: Told) -> None:
    """Looks for work whenever it is woken, and once a second."""
    woken, ending = threading.Event(), threading.Event()

    def end(*_: Any) -> None:
        ending.set()
        woken.set()

    def listen() -> None:
        for _ in sys.stdin:
            woken.set()
        end()

    def drain() -> None:  # not in the signal handler, which may interrupt a transaction
        ending.wait()
        worker.drain(told.grace_seconds)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    for work in (listen, drain):
        threading.Thread(target=work, name=work.__name__, daemon=True).start()
    while not ending.is_set():
        try:
            while not ending.is_set() and worker.work_one():
                pass
        except StorageError as error:
            _log.warning("%s; tried again", error)
            ending.wait(_RETRY_SECONDS)
        woken.wait(_LOOK_SECONDS)
        woken.clear()
    worker.stop()


if __name__ == "__main__":
    raise SystemExit(main())
