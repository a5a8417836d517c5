"""Keeps worker processes alive: starts one for each device, starts again what ended by accident, ends all of them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from .process import REFUSED_STATUS, Told

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
_LIVED_WELL_SECONDS = 60.0
_SLACK_SECONDS = 15.0
_log = logging.getLogger(__name__)


class Keeper:
    """Worker processes of this machine, spawned, each with its own device.

    Args:
        told: one for each worker.
        environment: variables for them: the database, the broker.
        quiet: their logs are not shown.
    """

    def __init__(self, told: Sequence[Told], environment: Mapping[str, str], quiet: bool = False) -> None:
        self._kept = [_Kept(one, environment, quiet) for one in told]

    def start(self) -> None:
        """Starts all of them."""
        for kept in self._kept:
            kept.start()

    def wake(self) -> None:
        """Tells all of them that there is something to do."""
        for kept in self._kept:
            kept.wake()

    def tend(self) -> None:
        """Starts again those that ended by accident, each a while after its end, longer each time."""
        for kept in self._kept:
            kept.tend()

    @property
    def pids(self) -> list[int]:
        """Of those that run."""
        return [kept.process.pid for kept in self._kept if kept.process is not None and kept.process.poll() is None]

    @property
    def refused(self) -> bool:
        """Whether all have ended for a reason that starting them again would not change."""
        return all(kept.refused for kept in self._kept)

    def end(self) -> None:
        """Asks all of them to end, which hands back or finishes what runs, and waits for that."""
        for kept in self._kept:
            kept.ask_to_end()
        for kept in self._kept:
            kept.wait_for_end()


class _Kept:
    """One of them."""

    def __init__(self, told: Told, environment: Mapping[str, str], quiet: bool) -> None:
        self._told = told
        self._environment = environment
        self._quiet = quiet
        self._started = 0.0
        self._again_at: float | None = None
        self._wait = _FIRST_WAIT
        self.refused = False
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._started, self._again_at = time.monotonic(), None
        self.process = subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, "-m", f"{__package__}.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if self._quiet else None,
            env={**os.environ, **self._environment},
            text=True,
            start_new_session=True,  # Ctrl-C is for whoever keeps it
        )
        self._tell(json.dumps(self._told.to_json()))

    def wake(self) -> None:
        self._tell("")

    def tend(self) -> None:
        assert self.process is not None
        status = self.process.poll()
        if status is None or self.refused:
            return
        now = time.monotonic()
        if self._again_at is None:
            if status == REFUSED_STATUS:
                self.refused = True
                return
            if now - self._started > _LIVED_WELL_SECONDS:
                self._wait = _FIRST_WAIT
            self._again_at = now + self._wait
            _log.warning("the worker %s ended with status %d; started again", self._told.name, status)
        elif now > self._again_at:
            self._wait = min(2 * self._wait, _LONGEST_WAIT)
            self.start()

    def ask_to_end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def wait_for_end(self) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(self._told.grace_seconds + _SLACK_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def _tell(self, line: str) -> None:
        if self.process is None or self.process.stdin is None or self.process.poll() is not None:
            return
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
