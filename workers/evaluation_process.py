"""The evaluating process as its worker sees it: started when needed, asked, watched, ended."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import psutil

from ..storage import Ending
from .channel import read_lines, write_line

LOAD_SECONDS = 3600.0
"""A process that has not loaded a study by then hangs: gathering statistics of a large one takes half an hour."""
LOG_LINES, LOG_LINE_BYTES = 200, 2000
_LOOK_SECONDS = 0.2


class ChildLostError(Exception):
    """The process that evaluated has ended before it answered.

    Attributes:
        ending: how the attempt ended, with its log's last lines.
    """

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.outcome)
        self.ending = ending


class EvaluationProcess:
    """Owns a child (`workers/child.py`) that is spawned, never forked, and stays warm between requests.

    Args:
        device: for PyTorch.
        memory_bytes: what loaded studies may take of the device.
        host_limit_bytes: the child is ended when its resident memory exceeds this; None: no limit.
        cores: that it stays on; None: any.
    """

    def __init__(
        self,
        device: str,
        memory_bytes: int,
        host_limit_bytes: int | None = None,
        cores: Sequence[int] | None = None,
    ) -> None:
        self._command = [sys.executable, "-m", f"{__package__}.child", device, str(memory_bytes)]
        self._cores = cores
        self._host_limit_bytes = host_limit_bytes
        self._environment = {} if cores is None else {"OMP_NUM_THREADS": str(len(cores))}
        self._child: subprocess.Popen[str] | None = None
        self._replies: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._number = 0

    @property
    def pid(self) -> int | None:
        """Of the child, if there is one."""
        return None if self._child is None else self._child.pid

    @property
    def log_tail(self) -> str:
        """The last lines that the child wrote."""
        return "".join(self._log)

    def ask(
        self, request: Mapping[str, Any], may_go_on: Callable[[], bool], limit_seconds: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Sends a request; gives the replies, the last one (`finished`) left out.

        Whoever asks may give up before the last reply (the database is away, say): what still comes is dropped, never
        taken for a reply to the next request.

        Args:
            may_go_on: asked several times a second while the child computes; where it says no, the child is ended.
            limit_seconds: after which the child is ended; counted from when it says that it has `begun`, so that what
                it loads first (libraries, checkpoints) is not held against a candidate. Loading has LOAD_SECONDS.

        Raises:
            ChildLostError: the child has ended, by itself or by us (its outcome is then `released`, `timeout` or
                `memory`).
        """
        self._start()
        assert self._child is not None
        assert self._child.stdin is not None
        asked, begun = time.monotonic(), None
        self._number += 1
        number = self._number
        try:
            write_line(self._child.stdin, {**request, "number": number})
        except OSError:
            raise self._lost("lost") from None
        while True:
            try:
                reply = self._replies.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                pass
            else:
                if reply is None:
                    raise self._lost("lost")
                if reply.pop("to") == number:
                    if "finished" in reply:
                        return
                    if "begun" in reply:
                        begun = time.monotonic()
                    else:
                        yield reply
            if not may_go_on():
                raise self._lost("released")
            if begun is None and time.monotonic() - asked > LOAD_SECONDS:
                raise self._lost("timeout")
            if limit_seconds is not None and begun is not None and time.monotonic() - begun > limit_seconds:
                raise self._lost("timeout")
            if self._takes_too_much():
                raise self._lost("memory")

    def end(self) -> None:
        """Ends the child, if there is one."""
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)  # with whatever it has started
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._child = None

    def _start(self) -> None:
        if self._child is not None and self._child.poll() is None:
            return
        self.end()
        self._replies = queue.SimpleQueue()
        self._log.clear()
        self._child = subprocess.Popen(  # noqa: S603  (our own program)
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **_WITHOUT_SECRETS, **self._environment},
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the worker, which decides
        )
        if self._cores is not None:
            with contextlib.suppress(psutil.Error, AttributeError):  # it has ended already; not on this system
                psutil.Process(self._child.pid).cpu_affinity(list(self._cores))
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        for work, stream in ((self._read_replies, self._child.stdout), (self._read_log, self._child.stderr)):
            threading.Thread(target=work, args=(stream,), name=work.__name__, daemon=True).start()

    def _read_replies(self, stream: IO[str]) -> None:
        replies = self._replies
        with contextlib.suppress(ValueError, OSError):  # half a line of a child that was killed; a closed stream
            for reply in read_lines(stream):
                replies.put(reply)
        replies.put(None)

    def _read_log(self, stream: IO[str]) -> None:
        log = self._log
        with contextlib.suppress(ValueError, OSError):
            while line := stream.readline(LOG_LINE_BYTES):
                log.append(line)

    def _takes_too_much(self) -> bool:
        if self._host_limit_bytes is None or self._child is None:
            return False
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self._child.pid).memory_info().rss) > self._host_limit_bytes
        return False

    def _lost(self, outcome: Any) -> ChildLostError:
        child = self._child
        if outcome == "lost" and child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(2.0)  # its pipes close a moment before it is gone
            time.sleep(0.05)  # for the last of its log
        code = None if child is None else child.poll()
        self.end()
        return ChildLostError(Ending(outcome, -code if code is not None and code < 0 else None, None, self.log_tail))


_WITHOUT_SECRETS = {"HETEROSIS_STORAGE": "", "HETEROSIS_BROKER": ""}
"""The child evaluates code of plugins and checkpoints; it needs no database, and knows none."""
