"""JSON lines between a worker and the process that evaluates for it: one object a line, nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import IO, Any


def write_line(stream: IO[str], content: Mapping[str, Any]) -> None:
    """Writes an object and sends it off at once."""
    stream.write(json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n")
    stream.flush()


def read_lines(stream: IO[str]) -> Iterator[dict[str, Any]]:
    """The objects that come, until the other side closes."""
    for line in stream:
        yield json.loads(line)


class ChildChannel:
    """The child's side: requests come on standard input, replies go where standard output went.

    From then on, whatever else prints (a plugin, a library) prints to standard error, which is the log.
    """

    def __init__(self) -> None:
        self._replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._requests = os.fdopen(os.dup(0), encoding="utf-8")
        self._lock = threading.Lock()
        self._number: int | None = None

    def requests(self) -> Iterator[dict[str, Any]]:
        """What is asked, until the worker closes or dies."""
        return read_lines(self._requests)

    def begin(self, request: Mapping[str, Any]) -> None:
        """From now on replies are to this request, and bear its number."""
        self._number = request["number"]

    def reply(self, **content: Any) -> None:
        """Sends an object; threads may."""
        with self._lock:
            write_line(self._replies, {"to": self._number, **content})
