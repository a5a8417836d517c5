"""Says what a study is about to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..core.stage import STAGES, Stage
from .console import HEAD, QUIET, pairs, table

if TYPE_CHECKING:
    from ..core.study_spec import ObjectiveSpec, StudySpec
    from ..fitness.item_sets import StagedItems

Items = Mapping[Stage, Mapping[str, "StagedItems"]]
_LONGEST = 60


def lines(spec: StudySpec, items: Items, device: str, candidates: int) -> Iterator[RenderableType]:
    """Name, space, objectives, optimizer and items; the checkpoints must be open."""
    yield Text(spec.name, style=HEAD)
    yield pairs(
        [
            ("base", _base(spec)),
            ("sources", ", ".join(spec.space.labelled)),
            ("merge", _merge(spec)),
            *((objective.direction, _objective(objective)) for objective in spec.objectives),
            *([("watch", ", ".join(objective.label for objective in spec.watch))] if spec.watch else []),
            ("optimizer", _optimizer(spec)),
            ("budget", f"{candidates} candidates, {min(spec.finalists, candidates)} finalists, seed {spec.seed}"),
            ("device", device),
        ]
    )
    yield ""
    yield _items(list(spec.tasks), items)


def _base(spec: StudySpec) -> str:
    """The reference, or each of its alternatives; and where it was found."""
    alternatives = spec.space.base.split(" | ")
    found = spec.space.checkpoints[spec.space.base].directory
    lines = [_shortened(alternatives[0]), *(f"or {_shortened(alternative)}" for alternative in alternatives[1:])]
    return "\n".join(lines if found.name in lines[-1] else [*lines, f"in {found}"])


def _merge(spec: StudySpec) -> str:
    merge = spec.space.merge
    groups = "one group" if merge.groups == "model" else merge.groups
    modules = ", attention and MLP apart" if merge.by_module else ""
    return f"{' or '.join(merge.methods)}, {groups}{modules}: {len(spec.space.genes)} genes"


def _objective(objective: ObjectiveSpec) -> str:
    of = ", ".join(objective.tasks)
    return objective.label if not of or objective.label.endswith(of) else f"{objective.label} ({of})"


def _optimizer(spec: StudySpec) -> str:
    options = ", ".join(f"{name} {value}" for name, value in spec.optimizer_options.items())
    return f"{spec.optimizer} ({options})" if options else spec.optimizer


def _items(names: Sequence[str], items: Items) -> Table:
    """How many items each stage asks of each task."""
    made = table("items asked", *STAGES, right=STAGES)
    for name in names:
        counts = [len(items[stage][name].items) if name in items[stage] else None for stage in STAGES]
        made.add_row(Text(name, style=QUIET), *("-" if count is None else str(count) for count in counts))
    if len(names) > 1:
        sums = (sum(len(group.items) for group in items[stage].values()) for stage in STAGES)
        made.add_row(Text("in all", style=QUIET), *map(str, sums))
    return made


def _shortened(reference: str) -> str:
    return reference if len(reference) <= _LONGEST else f"{reference[: _LONGEST - 3]}..."
