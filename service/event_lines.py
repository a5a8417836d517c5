"""Events as lines: columns for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from rich.text import Text

from .console import BAD, GOOD, QUIET, console
from .plain_records import plain
from .worker_words import place

if TYPE_CHECKING:
    from ..storage import Store
    from ..storage.records import Event

_STYLES = {"failed": BAD, "lost": BAD, "drifted": BAD, "succeeded": GOOD, "complete": GOOD, "up": GOOD}

_SAID = ("number", "label", "name", "host", "pid")
"""What the subject's name says already."""


class EventLines:
    """Writes events to stdout as they come; a line of the date comes before those of each day (UTC)."""

    def __init__(self, store: Store, as_json: bool, of_study: str | None = None) -> None:
        """Prepares to write.

        Args:
            of_study: the only study that is shown, which need not be named on every line.
        """
        self._store = store
        self._as_json = as_json
        self._of_study = of_study
        self._studies: dict[str, str] = {}
        self._day: date | None = None
        self._console = console()

    def write(self, events: Sequence[Event]) -> None:
        """Writes these, and sees to it that a reader of a pipe gets them."""
        if not events:
            return
        self._learn(events)
        names = self._names(events)
        for event in events:
            if self._as_json:
                sys.stdout.write(json.dumps(self._content(event, names), ensure_ascii=False) + "\n")
            else:
                self._print(event, names)
        sys.stdout.flush()

    def _content(self, event: Event, names: Mapping[str, str]) -> dict[str, Any]:
        return {
            "id": event.id,
            "at": plain(event.at),
            "study": self._study(event),
            "type": event.type,
            "subject": event.subject_id,
            "name": names.get(event.subject_id),
            "payload": dict(event.payload),
        }

    def _print(self, event: Event, names: Mapping[str, str]) -> None:
        if event.at.date() != self._day:
            self._day = event.at.date()
            self._console.print(Text(f"{self._day} (UTC)", style=QUIET))
        what = event.type.rsplit(".", 1)[-1]
        study = self._study(event) if self._of_study is None else None
        subject = " of ".join(part for part in (names.get(event.subject_id) or _subject(event), study) if part)
        line = Text.assemble(
            (f"{event.id:>7}  {event.at:%H:%M:%S}  ", QUIET),
            (f"{event.type:<20}  ", _STYLES.get(what, "")),
            ", ".join(part for part in (subject, _details(event.payload)) if part),
        )
        self._console.print(line, soft_wrap=True)

    def _study(self, event: Event) -> str | None:
        return None if event.study_id is None else self._studies.get(event.study_id)

    def _learn(self, events: Sequence[Event]) -> None:
        if any(event.study_id is not None and event.study_id not in self._studies for event in events):
            self._studies = {study.id: study.name for study in self._store.studies.all()}

    def _names(self, events: Sequence[Event]) -> dict[str, str]:
        kinds = ("evaluation.", "candidate.", "worker.")
        return self._store.monitor.names([event.subject_id for event in events if event.type.startswith(kinds)])


def _subject(event: Event) -> str:
    """What it is about, where that is neither a candidate nor told by the study or the details."""
    return f"ask {event.subject_id}" if event.type.startswith("ask.") else ""


def _details(payload: Mapping[str, Any]) -> str:
    shown = {key: value for key, value in payload.items() if key not in _SAID and value not in (None, "", {}, [])}
    if "worker" in shown:
        shown["worker"] = place(str(shown["worker"]))
    return ", ".join(f"{key} {value}" for key, value in shown.items())
