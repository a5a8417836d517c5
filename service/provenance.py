"""What computed a candidate's results: recipe, items, worker and environment, for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from .console import HEAD, QUIET, pairs, table

if TYPE_CHECKING:
    from ..storage.provenance import Provenance

_SHORT = 12


def as_json(results: Sequence[Provenance]) -> list[dict[str, Any]]:
    """JSON-ready; of equal environments each result has its own."""
    found = []
    for one in results:
        times = {"started_at": one.started_at, "finished_at": one.finished_at}
        found.append(asdict(one) | {key: time.isoformat() if time else None for key, time in times.items()})
    return found


def lines(results: Sequence[Provenance]) -> Iterator[RenderableType]:
    """A row for each result, then the environments that they name; hashes are cut to their first 12 digits."""
    rows = table("stage", "part", "attempt", "finished", "worker", "environment", "items", right=["part", "attempt"])
    for one in results:
        finished = f"{one.finished_at:%Y-%m-%d %H:%M:%S} UTC" if one.finished_at else one.state
        items = ", ".join(f"{task} {item_set[:_SHORT]}" for task, item_set in one.item_sets.items()) or "-"
        environment = one.environment_id[:_SHORT] if one.environment_id else "not noted"
        rows.add_row(one.stage, str(one.part), str(one.attempt), finished, _process(one.worker), environment, items)
    yield rows
    for environment_id, content in {one.environment_id: one.environment for one in results}.items():
        if environment_id is not None:
            yield Text("")
            yield Text(f"environment {environment_id[:_SHORT]}", style=HEAD)
            yield pairs((key, Text(value)) for key, value in _flat(content))


def heading(results: Sequence[Provenance]) -> Text:
    """Which recipe it is."""
    return Text(f"recipe {results[0].recipe_sha256}" if results else "nothing of it was evaluated", style=QUIET)


def _process(worker: str | None) -> str:
    """Host and process id of an owner (`owners.this_process`), or all of it if it is named otherwise."""
    parts = (worker or "-").rsplit(":", 3)
    return f"{parts[0]}:{parts[2]}" if len(parts) == 4 else parts[0]


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name} ")
        else:
            yield name, "-" if value is None else str(value)
