"""Says what a study is about to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..core.stage import STAGES, Stage
from ..search.aims import estimated
from .console import HEAD, QUIET, pairs, table

if TYPE_CHECKING:
    from ..core.study_spec import ObjectiveSpec, StudySpec
    from ..fitness.item_sets import StagedItems

Items = Mapping[Stage, Mapping[str, "StagedItems"]]
_LONGEST = 60


MANY = 100
"""From more search items than this on, it is worth saying that few of them may do."""


def lines(spec: StudySpec, items: Items, device: str, candidates: int, advise: bool = True) -> Iterator[RenderableType]:
    """Name, space, objectives, optimizer and items; the checkpoints must be open.

    Args:
        advise: whether to say what may be set otherwise, which is too late for a study that has begun.
    """
    yield Text(spec.name, style=HEAD)
    yield pairs(
        [
            ("base", _base(spec)),
            ("sources", ", ".join(spec.space.labelled)),
            ("merge", _merge(spec)),
            *((objective.direction, _objective(objective)) for objective in spec.objectives),
            *([("watch", ", ".join(objective.label for objective in spec.watch))] if spec.watch else []),
            ("optimizer", _optimizer(spec)),
            *([("fed", "as results arrive (steady state)")] if spec.steady_state else []),
            *([("fitness", _fitness(spec, items))] if spec.fitness is not None else []),
            *([("screen", _screen(spec))] if spec.screen is not None else []),
            ("budget", f"{candidates} candidates, {min(spec.finalists, candidates)} finalists, seed {spec.seed}"),
            ("device", device),
        ]
    )
    yield ""
    yield _items(list(spec.tasks), items)
    if advise and spec.fitness is None and spec.screen is None and estimated(spec, items["search"]):
        searched = sum(len(group.items) for group in items["search"].values())
        if searched > MANY:
            yield ""
            yield Text(
                f"Every candidate answers all {searched} search items. `fitness: auto` in the study file (or --fitness "
                "auto) asks about a dozen, and estimates the rest."
            )


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


def _screen(spec: StudySpec) -> str:
    assert spec.screen is not None
    return f"{spec.screen.items} items of {spec.screen.task}, the best {spec.screen.keep:.0%} are asked everything"


def _fitness(spec: StudySpec, items: Items) -> str:
    """Which estimator, and how many items a candidate is asked."""
    assert spec.fitness is not None
    shares = _shares(spec, items)
    pool = sum(len(items["search"][task].items) for task in shares)
    first, most = min(spec.fitness.first, pool), min(spec.fitness.most, pool)
    count = f"{first} to {most}" if first < most else str(most)
    whole = [task for task in items["search"] if task not in shares]
    beside = f", and all of {' and '.join(whole)}" if whole else ""
    return f"{spec.fitness.estimator}, {count} of {pool} items{beside}"


def _shares(spec: StudySpec, items: Items) -> list[str]:
    """The tasks whose figures can be estimated from few of their items."""
    return [task for task in items["search"] if task in spec.shares]


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
