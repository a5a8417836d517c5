"""A worker that Celery wakes: one process, one device, one evaluation at a time.

Why the pool of threads, of the three pools that were tried (Celery 5.7, Kombu 5.7, Valkey 9.1, an evaluation of 8 s,
a broker killed and started again without persistence):

| | threads | solo | prefork -c 1 |
|---|---|---|---|
| waiting messages stay in Redis | yes | yes | yes |
| the message is acknowledged at the start | yes | only at the end | yes |
| answers pings while it evaluates | yes | no | yes |
| consumes again after the broker's restart | yes | yes, once it is idle | yes |
| between two messages | 2 ms | 3 ms | 8 ms |
| where the task runs | in this process | in this process | in a forked one |

A forked process could not share the lease-holder's connections, and a drain would have to reach into it. What a pool of
processes is for, surviving a crash and a time limit, the evaluation child does.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery, signals
from celery.apps.worker import Worker as CeleryProgram
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning

from ..core.errors import BrokerError
from .broker import Broker, check_reachable
from .celery_app import TASK, make_app, read_wake_up
from .celery_depth import messages_waiting
from .wake_ups import LOOK_SECONDS, WakeUps, Workable
from .watchdog import WATCHDOG_SECONDS, Watchdog

GRACE_SECONDS = 30.0
NO_LONGER_CONSUMES = 75
"""The exit status of a worker that its watchdog ended: a temporary failure, start another."""

_SLACK_SECONDS = 15.0
_log = logging.getLogger(__name__)


def run_celery_worker(
    worker: Workable,
    broker: Broker,
    queues: Sequence[str],
    name: str,
    *,
    grace_seconds: float = GRACE_SECONDS,
    look_seconds: float = LOOK_SECONDS,
    watchdog_seconds: float = WATCHDOG_SECONDS,
    note_end: Callable[[str], None] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> int:
    """Evaluates what the broker announces until a signal ends it; to be called in the main thread, once per process.

    SIGTERM and Ctrl-C end it in an orderly way: nothing more is taken, what runs is finished or handed back within the
    grace. A second Ctrl-C does not wait for that.

    Args:
        worker: evaluates; it is drained and stopped at the end.
        queues: the memory classes that it takes, see `memory_classes.classes_for`.
        name: of this worker on this host; Flower shows `name@host`, so no two may be alike.
        note_end: stops the worker, and notes the reason, before the watchdog ends the process; default: `worker.stop`.
        changes: settings of Celery that differ from `celery_settings.SETTINGS`.

    Returns:
        The exit status: 0 after an orderly end.

    Raises:
        ConfigurationError: the broker refuses the user or the password, or Celery does not know a setting.
    """
    _warn_if_down(broker)
    app = make_app(broker, changes)
    wake_ups = WakeUps(worker, look_seconds)
    _register(app, wake_ups)
    closing = threading.Event()

    def drain() -> None:
        closing.wait()
        wake_ups.end()
        worker.drain(grace_seconds)

    drainer = threading.Thread(target=drain, name="drain", daemon=True)
    watchdog = Watchdog(
        lambda: sum(messages_waiting(app, queues).values()),
        lambda: wake_ups.received,
        lambda: wake_ups.busy,
        lambda reason: _leave(reason, note_end or (lambda _: worker.stop())),
        watchdog_seconds,
    )
    with _signals_kept():
        program = _program(app, queues, name, closing)
        for thread in (drainer, wake_ups, watchdog):
            thread.start()
        try:
            program.start()
        finally:
            watchdog.end()
            closing.set()
            status = _end(worker, drainer, wake_ups, grace_seconds)
    return program.exitcode or status


def _end(worker: Workable, drainer: threading.Thread, wake_ups: WakeUps, grace_seconds: float) -> int:
    # A supervisor that is impatient sends SIGTERM again and again; only a person's Ctrl-C cuts the grace short.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    drainer.join(grace_seconds + _SLACK_SECONDS)
    over = wake_ups.join(grace_seconds + _SLACK_SECONDS)
    if not over:
        _log.error("what runs has not ended %g seconds after the grace; its lease will", _SLACK_SECONDS)
    worker.stop()
    return 0 if over else 1


def _register(app: Celery, wake_ups: WakeUps) -> None:
    def evaluate(*arguments: Any, **content: Any) -> None:
        evaluation_id = read_wake_up(arguments, content)
        if evaluation_id is not None:
            wake_ups.wake(evaluation_id)

    app.task(evaluate, name=TASK, shared=False)


def _program(app: Celery, queues: Sequence[str], name: str, closing: threading.Event) -> CeleryProgram:
    class Program(CeleryProgram):  # type: ignore[misc]  # Celery has no types
        def on_close(self) -> None:  # also when it is ended through the broker, which sends no signal
            closing.set()
            super().on_close()

        def install_platform_tweaks(self, program: CeleryProgram) -> None:
            on_hangup = signal.getsignal(signal.SIGHUP)
            super().install_platform_tweaks(program)
            signal.signal(signal.SIGHUP, on_hangup)  # Celery would start the command line again

    def begin_to_close(**_: Any) -> None:  # runs in a signal handler: no lock, no log
        closing.set()

    signals.worker_shutting_down.connect(begin_to_close, weak=False)
    signals.setup_logging.connect(_leave_logging_alone)
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    with warnings.catch_warnings():  # it would advise against root, and to use an option that is not there
        warnings.simplefilter("ignore", SecurityWarning)
        return Program(
            app=app,
            hostname=f"{name}@{platform.node()}",
            queues=list(queues),
            quiet=True,
            without_gossip=True,  # every worker would listen to every other one
            without_mingle=True,
        )


def _leave_logging_alone(**_: Any) -> None:
    pass


def _warn_if_down(broker: Broker) -> None:
    try:
        check_reachable(broker)
    except BrokerError as error:
        _log.warning("%s. This worker waits for it", error)


def _leave(reason: str, note_end: Callable[[str], None]) -> None:
    _log.critical("%s; ended with status %d", reason, NO_LONGER_CONSUMES)
    tidying = threading.Thread(target=note_end, args=[reason], daemon=True)
    tidying.start()
    tidying.join(_SLACK_SECONDS)
    os._exit(NO_LONGER_CONSUMES)  # an exception would end this thread only, and the main thread listens to nobody


@contextmanager
def _signals_kept() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1)
    kept = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
