"""What workers write to their log: lines for people or JSON for programs, with the ids of the work, without secrets."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, TypeAlias

from pythonjsonlogger.json import JsonFormatter

from ..core.redaction import redacted, without_secrets

LogFormat: TypeAlias = Literal["text", "json"]

LOGGER = "heterosis"
"""The name above all of the program's own loggers."""

_context: ContextVar[Mapping[str, Any]] = ContextVar("heterosis_log_context")
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "time", "fields"}
_SHOWN = ("study", "candidate", "attempt")


def set_up(
    log_format: LogFormat = "text",
    level: int | str = logging.INFO,
    stream: TextIO | None = None,
    **fields: Any,
) -> logging.Handler:
    """Sends what this process logs, its libraries' warnings too, to one stream; called again, it replaces itself.

    Args:
        log_format: `text`: a line for people; `json`: an object a line, with `time`, `level`, `logger`, `message`,
            the fields of the context, and `exception` where there was one.
        level: of this program's messages; libraries are heard from warnings on.
        stream: default: stderr.
        fields: in every line of this process (`worker`).

    Returns:
        The handler, which a test or a caller with other plans may remove.
    """
    handler = _Handler(stream or sys.stderr, fields)
    handler.setFormatter(_Text() if log_format == "text" else _json())
    handler.set_name(LOGGER)
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == LOGGER]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.getLogger(LOGGER).setLevel(level)
    return handler


@contextmanager
def context(**fields: Any) -> Iterator[None]:
    """Adds fields (`study`, `candidate`, `evaluation`, `attempt`) to every line that is logged in the block.

    It is this thread's own, or this task's: another thread that works on the same enters it for itself.
    """
    token = _context.set({**_context.get({}), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def redact(record: logging.LogRecord) -> None:
    """Takes secrets out of a record: out of its message, its traceback, and its fields."""
    record.msg, record.args = without_secrets(record.getMessage()), None
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    if record.exc_text:
        record.exc_info, record.exc_text = None, without_secrets(record.exc_text)
    if record.stack_info:
        record.stack_info = without_secrets(record.stack_info)
    for name in record.__dict__.keys() - _OWN:
        record.__dict__[name] = redacted(record.__dict__[name])


class _Handler(logging.StreamHandler[TextIO]):
    """Writes records with the fields of the process and of the context; a field of the record's own goes before."""

    def __init__(self, stream: TextIO, fields: Mapping[str, Any]) -> None:
        super().__init__(stream)
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        """The line, made from a copy: other handlers see the record as it was."""
        copied = copy.copy(record)
        copied.time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        for name, value in {**self._fields, **_context.get({})}.items():
            copied.__dict__.setdefault(name, value)
        redact(copied)
        return super().format(copied)


class _Text(logging.Formatter):
    """`12:03:04 INFO    tiny, candidate 17, attempt 2: message`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(where)s%(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the standard library's name)
        """The line without a traceback."""
        shown = [(name, getattr(record, name, None)) for name in _SHOWN]
        parts = [f"{name} {value}" if name == "attempt" else str(value) for name, value in shown if value is not None]
        record.where = f"{', '.join(parts)}: " if parts else ""
        return super().formatMessage(record)


def _json() -> JsonFormatter:
    renamed = {"levelname": "level", "name": "logger", "exc_info": "exception", "stack_info": "stack"}
    return JsonFormatter(["time", "levelname", "name", "message"], rename_fields=renamed, reserved_attrs=sorted(_OWN))
