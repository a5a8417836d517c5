"""Workers, their states and what they work on, in the words of the screens."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from ..storage.monitor_records import Subject, WorkerSeen
from ..storage.records import CHECK_PART, LATER_PARTS, REST_PART, RETEST_PART
from ..storage.seen_workers import owner_place
from .console import BAD, GOOD, QUIET

_STYLES = {"up": GOOD, "draining": "yellow", "drifted": BAD, "lost": BAD, "gone": QUIET}
_UNITS = ((86_400, "days"), (3600, "h"), (60, "min"))
_PARTS = {RETEST_PART: "asked again", REST_PART: "the rest", CHECK_PART: "check"}


def place(owner: str) -> str:
    """`host:pid` of the owner of a lease, the host without its domain; any other name as it is."""
    host, pid = owner_place(owner)
    if pid is None:
        return host
    return f"{host if host[:1].isdigit() else host.partition('.')[0]}:{pid}"  # an address has dots too


def age(seconds: float) -> str:
    """Seconds in the one unit that says enough: `3 s`, `2 min`, `5 h`, `3 days`."""
    for unit, name in _UNITS:
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)} {name}"
    return f"{max(round(seconds), 0)} s"


def one_line(made: Table) -> Table:
    """The table with every column but the last on one line, cut if it must be; the last has what room is left."""
    for column in made.columns[:-1]:
        column.no_wrap, column.overflow = True, "ellipsis"
    return made


def state(worker: WorkerSeen) -> Text:
    """The state, in its colour."""
    return Text(worker.state, style=_STYLES.get(worker.state, ""))


def stage(subject: Subject) -> str:
    """The stage, and which part of it: `search`, `search 2`, `search, check`."""
    if subject.part == 0:
        return subject.stage
    if subject.part < LATER_PARTS:
        return f"{subject.stage} {subject.part + 1}"
    return f"{subject.stage}, {_PARTS.get(subject.part, str(subject.part))}"
