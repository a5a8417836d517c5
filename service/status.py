"""`heterosis status`: how far studies are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .console import BAD, GOOD, HEAD, QUIET, console, pairs, print_json, table
from .formats import duration, number
from .opening import chosen, opened
from .options import DEFAULT_STORAGE, Json, Name, Storage

if TYPE_CHECKING:
    from .standing import Standing

_STYLES = {"complete": GOOD, "failed": BAD, "interrupted": "yellow", "paused": "yellow"}
_LONGEST_REASON = 200


def status(name: Name = None, storage: Storage = DEFAULT_STORAGE, json: Json = False) -> None:
    """Show how far a study is.

    Candidates done, the best so far, failures with their reasons, time, packages that have changed since.

    Without a name, and with several studies in the database, shows a line for each. It only reads, so it may be asked
    while a search runs.

    Example:

        heterosis status quickstart
    """
    from .standing import standing

    with opened(storage) as store:
        if name is None and len(studies := store.studies.all()) > 1:
            standings = [standing(store, study) for study in studies]
        else:
            standings = [standing(store, store.studies.get(chosen(store, name)))]
        where = store.database.where
    if json:
        contents = [found.to_dict() for found in standings]
        print_json(contents[0] if len(contents) == 1 else contents)
    elif len(standings) == 1:
        _show(standings[0], where, console())
    else:
        console().print(_table(standings))


def _show(found: Standing, where: str, screen: Console) -> None:
    screen.print(Text.assemble((found.name, HEAD), "  ", _state(found)))
    rows = [("candidates", f"{found.done} of {found.whole} done{_failed(found)}")]
    if found.repeats:
        rows.append(("", f"({found.repeats} proposals repeated an earlier candidate, which counts once)"))
    if found.best_number is not None:
        figure = f"{found.objective} {number(found.best_value or 0.0)}{_estimated(found)}"
        rows.append(("best", f"candidate {found.best_number}: {figure}"))
    rows += [(f"at {stage}", f"{count} done") for stage, count in found.later_stages.items()]
    if found.seconds:
        phases = ", ".join(f"{phase} {duration(mean)}" for phase, mean in found.seconds.items())
        rows.append(("seconds each", f"{phases} (mean)"))
        rows.append(("evaluating", f"{duration(found.seconds_in_all)} in all"))
    rows.append(("created", f"{found.created_at:%Y-%m-%d %H:%M} UTC, last changed {found.updated_at:%Y-%m-%d %H:%M}"))
    rows.append(("database", where))
    screen.print(pairs([(key, Text(value)) for key, value in rows]))
    if found.failures:
        screen.print()
        reasons = table("failures", "reason", right=["failures"])
        for reason, count in found.failures:
            reasons.add_row(Text(str(count), style=BAD), Text(_first_line(reason)))
        screen.print(reasons)
    if found.other_versions:
        screen.print()
        versions = table("installed since", "recorded", "now")
        for package, (recorded, installed) in found.other_versions.items():
            versions.add_row(Text(package, style=QUIET), recorded, installed or "not installed")
        screen.print(versions)


def _table(standings: list[Standing]) -> Table:
    made = table("study", "state", "candidates", "failed", "best", "objective", right=["candidates", "failed", "best"])
    for found in standings:
        best = "-" if found.best_value is None else number(found.best_value)
        count = f"{found.done} of {found.whole}"
        made.add_row(found.name, _state(found), count, str(found.failed or "-"), best, found.objective)
    return made


def _estimated(found: Standing) -> str:
    return f", estimated from {found.best_items} of {found.items} items" if found.best_items else ""


def _state(found: Standing) -> Text:
    return Text(found.state, style=_STYLES.get(found.state, ""))


def _failed(found: Standing) -> str:
    return f", {found.failed} of them failed" if found.failed else ""


def _first_line(reason: str) -> str:
    line = reason.strip().splitlines()[0] if reason.strip() else "unknown"
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."
