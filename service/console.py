"""Where the command line writes: calm on a terminal, plain lines anywhere else."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterable
from typing import IO, Any, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_OF_FILES = 160
"""Columns where there is no terminal to ask; tables in a pipe are for programs that search lines."""

QUIET = "dim"
GOOD = "green"
BAD = "red"
HEAD = "bold"


def console(stderr: bool = False) -> Console:
    """A console on stdout or stderr that prints square brackets and numbers as they are."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    width = int(os.environ.get("COLUMNS") or WIDTH_OF_FILES)
    return Console(file=cast(IO[str], _Trimmed(stream)), width=width, markup=False, highlight=False, emoji=False)


class _Trimmed:
    """A text stream without the spaces that rich fills lines up with."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(re.sub(r" +$", "", text, flags=re.MULTILINE))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def moves(to: Console) -> bool:
    """Whether lines may be written over: a real terminal that knows how."""
    return to.file.isatty() and to.is_terminal and not to.is_dumb_terminal


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """An empty table without lines; the columns named in `right` are flush right."""
    made = Table(box=None, header_style=HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    flush = set(right)
    for name in columns:
        made.add_column(name, justify="right" if name in flush else "left", overflow="fold")
    return made


def pairs(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Names and values, aligned; names are quiet."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style=QUIET, no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value)
    return made


def print_json(content: Any) -> None:
    """Writes JSON on stdout; a number that JSON has no word for (NaN) becomes null."""
    sys.stdout.write(json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(content: Any) -> Any:
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return content
