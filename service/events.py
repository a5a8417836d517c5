"""`heterosis events`: the journal, as it was written and as it grows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import StorageError
from .console import console
from .opening import opened
from .options import DEFAULT_STORAGE, Storage
from .watching import looks, quiet_end

if TYPE_CHECKING:
    from ..storage import Store
    from ..storage.event_feed import EventFeed
    from ..storage.records import Event
    from .event_lines import EventLines

_PAGE = 1000
_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05


def events(
    storage: Storage = DEFAULT_STORAGE,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", metavar="", help="Go on with what happens from now on, until Ctrl-C.")
    ] = False,
    study: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Only those of a study.")
    ] = None,
    type_: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", show_default=False, help="Only those of a type; may be repeated."),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(metavar="ID", min=0, show_default=False, help="All that came after the event with this id."),
    ] = None,
    last: Annotated[int, typer.Option(metavar="N", min=1, help="How many to begin with, without --after.")] = 20,
    json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print a line of JSON for each, for scripts.")
    ] = False,
) -> None:
    """Show what happened.

    Every change of a study, a candidate, an evaluation or a worker is an event, kept in order and never altered: an
    evaluation is `evaluation.queued`, `evaluation.started`, then `.succeeded`, `.failed`, `.released` (handed back),
    `.lost` (its worker died) or `.cancelled`; a worker is `worker.up`, `.draining`, `.drifted`, `.gone`.

    None is missed and none shown twice: a script that remembers the last `id` goes on with --after. Newer events wait
    until transactions that began before them have ended, which takes milliseconds.

    Examples:

        heterosis events --follow

        heterosis events --type evaluation.failed --type evaluation.lost --last 100

        heterosis events --after 812 --json
    """
    from .event_lines import EventLines

    with opened(storage) as store:
        study_id = None if study is None else store.studies.get(study).id
        types = tuple(type_ or ())
        cursor = after if after is not None else _before(store.events.recent(last, study_id, types), last)
        feed, lines = store.events.feed(cursor, study_id, types), EventLines(store, json, study)
        with quiet_end():
            shown = _show(store, feed, lines)
            if follow:
                _follow(feed, lines)
            elif not shown and not json:
                console().print(_nothing(store, after, study, types))


def _before(recent: list[Event], wanted: int) -> int:
    """The cursor that these come after."""
    return recent[0].id - 1 if len(recent) == wanted else 0


def _show(store: Store, feed: EventFeed, lines: EventLines) -> bool:
    """Prints what there is at this moment; whether there was anything."""
    newest = store.events.recent(1)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    shown = False
    while newest and feed.cursor < newest[0].id:
        page = feed.read(_PAGE)
        lines.write(page)
        shown = shown or bool(page)
        if feed.waits:
            if time.monotonic() > deadline:
                console(stderr=True).print("Newer events wait for a transaction that is still in progress.")
                break
            time.sleep(_PAUSE_SECONDS)
    return shown


def _follow(feed: EventFeed, lines: EventLines) -> None:
    silent = False
    for page in looks(lambda: feed.read(_PAGE)):
        if isinstance(page, StorageError):
            if not silent:
                console(stderr=True).print(f"{page}\nTrying again every second; nothing will be missed.")
            silent = True
        else:
            lines.write(page)
            silent = False


def _nothing(store: Store, after: int | None, study: str | None, types: tuple[str, ...]) -> str:
    """Why there is nothing to show, and what there would be."""
    wanted = " or ".join(types) if types else "event"
    of = f" of the study {study}" if study else ""
    since = f" after {after}" if after else ""
    known = store.events.types()
    if not known:
        return "Nothing has happened yet: begin with `heterosis run STUDY.yaml`."
    return f"No {wanted}{of}{since}. Types there are: {', '.join(known)}."
