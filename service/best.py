"""`heterosis best`: the winner, how it is built and what was measured of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from ..core.stage import STAGES
from .console import HEAD, QUIET, console, pairs, print_json
from .opening import loaded
from .options import DEFAULT_STORAGE, Json, Name, Storage

if TYPE_CHECKING:
    from ..core.study_spec import ObjectiveSpec
    from ..search.candidate import Candidate
    from ..search.study import Study


def best(
    name: Name = None,
    recipe: Annotated[bool, typer.Option("--recipe", metavar="", help="Print only the recipe, as YAML.")] = False,
    storage: Storage = DEFAULT_STORAGE,
    json: Json = False,
) -> None:
    """Show the winner: its genome, its figures at each stage, its recipe.

    The winner is the best finalist on validation items, or the best candidate on search items if there are none yet.
    Paths in its recipe start at the folder of the study file.

    Examples:

        heterosis best quickstart
        heterosis best --recipe > recipe.yaml
    """
    with loaded(storage, name) as study:
        winner = study.best()
        if recipe:
            typer.echo(winner.recipe.to_yaml(), nl=False)
        elif json:
            print_json(content(winner, study.spec.shares))
        else:
            _show(study, winner, console())


def content(candidate: Candidate, shares: Collection[str]) -> dict[str, object]:
    """A candidate, JSON-ready; `shares` names the figures that are shares in [0, 1]."""
    from .summary import figures_json

    record = candidate.record
    return {
        "number": record.number,
        "operator": record.operator,
        "parents": record.parents,
        "genome": dict(candidate.genome or {}),
        "recipe": candidate.recipe.to_dict(),
        "exports": [dict(figures) for figures in candidate.exports],
        "engine": None if candidate.engine is None else dict(candidate.engine),
        "measurements": {stage: figures_json(figures, shares) for stage, figures in candidate.measurements.items()},
    }


def _show(study: Study, winner: Candidate, screen: Console) -> None:
    from .figure_table import figure_tables
    from .formats import engine_line, number

    chosen_on = "validation" if "validation" in winner.measurements else "search"
    screen.print(Text.assemble((winner.name, HEAD), f" of {study.spec.name}, the best on {chosen_on} items"))
    screen.print(_origin(winner), style=QUIET)
    screen.print()
    objectives = [*study.spec.objectives, *study.spec.watch]
    labels = [objective.label for objective in objectives]
    labels += [task for task in study.spec.tasks if not any(_repeats(winner, o, task) for o in objectives)]
    rows = [(stage, winner.measurements[stage]) for stage in STAGES if stage in winner.measurements]
    blocks = figure_tables(
        rows, labels, screen.width, shares=study.spec.shares, units=units_of(study), notes=_estimates(study, winner)
    )
    for block in blocks:
        screen.print(block)
        screen.print()
    exports = winner.exports
    if winner.engine is not None and winner.engine["format"] not in {export["format"] for export in exports}:
        told = f", as it was evaluated: {engine_line(winner.engine)}"
        screen.print(Text.assemble((str(winner.engine["format"]), HEAD), told))
        screen.print()
    for export in exports:
        screen.print(Text.assemble((str(export["format"]), HEAD), f" in {export['path']}: {engine_line(export)}"))
        screen.print()
    screen.print(Text("genome", style=HEAD))
    genes = (winner.genome or {}).items()
    screen.print(pairs((gene, number(v) if isinstance(v, float) else str(v)) for gene, v in genes))
    screen.print()
    screen.print(Text("recipe", style=HEAD))
    screen.print(Text(winner.recipe.to_yaml().rstrip()), soft_wrap=True)


def items_behind(study: Study) -> Mapping[str, int]:
    """By task and objective, how many search items there are to ask; empty where every candidate is asked them all."""
    if study.spec.fitness is None:
        return {}
    from ..search.search_items import SearchItems

    items = SearchItems(study.store, study.record.id)
    objectives = (*study.spec.objectives, *study.spec.watch)
    return {task: items.size([task]) for task in items.pool} | {
        objective.label: items.size(objective.tasks) for objective in objectives if objective.tasks
    }


def _estimates(study: Study, winner: Candidate) -> dict[tuple[str, str], str]:
    """What is said after those figures that are estimated from few items."""
    whole = items_behind(study)
    found = winner.measurements.get("search", {})
    return {
        ("search", label): f" from {found[label].items} items"
        for label, count in whole.items()
        if label in found and found[label].items < count
    }


def units_of(study: Study) -> dict[str, str]:
    """The unit of each objective, by label."""
    from ..core import registry

    objectives = (*study.spec.objectives, *study.spec.watch)
    return {objective.label: registry.load("objectives", objective.name).unit for objective in objectives}


def _origin(winner: Candidate) -> str:
    parents = " and ".join(map(str, winner.record.parents))
    return f"proposed by {winner.record.operator}" + (f" of {parents}" if parents else "")


def _repeats(winner: Candidate, objective: ObjectiveSpec, task: str) -> bool:
    """Whether an objective's figures are those of its only task."""
    known = winner.measurements.values()
    return objective.tasks == (task,) and all(found.get(objective.label) == found.get(task) for found in known)
