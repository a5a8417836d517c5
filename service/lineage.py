"""`heterosis lineage`: what a candidate was bred from, and what was bred from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from .console import HEAD, QUIET, console, print_json
from .opening import loaded
from .options import DEFAULT_STORAGE, Json, NameOption, Storage

if TYPE_CHECKING:
    from ..search.candidate import Candidate
    from ..search.study import Study

Describe = Callable[[int], Text]


def lineage(
    number: Annotated[int, typer.Argument(show_default=False, help="Number of the candidate.")],
    study: NameOption = None,
    depth: Annotated[int, typer.Option(metavar="N", min=1, help="How many generations of ancestors.")] = 5,
    provenance: Annotated[
        bool, typer.Option("--provenance", metavar="", help="Show what computed its results instead.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
    json: Json = False,
) -> None:
    """Show what a candidate was bred from, and into.

    Its ancestors and children, each with its score and the operator that proposed it.

    Only optimizers that breed (ga, nsga2, de) record parents; others propose out of what they have learned from all.

    With --provenance, it shows where its results come from: recipe, items, worker, code, libraries and device.

    Examples:

        heterosis lineage 17 --depth 3
        heterosis lineage 17 --provenance
    """
    with loaded(storage, study) as opened:
        candidate = opened.candidate(number)
        if provenance:
            _show_provenance(opened, candidate, json)
            return
        parents = {c.record.number: c.record.parents for c in opened.candidates if c.record.number is not None}
        children = {place: sorted(child for child in parents if place in parents[child]) for place in parents}
        if json:
            print_json(_content(opened, number, parents, children))
            return
        describe = _describer(opened)
        tree = Tree(describe(number), guide_style=QUIET)
        if parents[number]:
            _grow(tree.add(Text("bred from", style=QUIET)), parents[number], parents, describe, depth, set())
        if children[number]:
            _grow(tree.add(Text("bred into", style=QUIET)), children[number], {}, describe, 1, set())
        screen = console()
        screen.print(tree)
        if not parents[number] and not children[number]:
            screen.print(f"{opened.spec.optimizer} recorded no relatives of it", style=QUIET)


def _show_provenance(study: Study, candidate: Candidate, json: bool) -> None:
    from . import provenance

    results = study.store.provenance.of_candidate(candidate.record.id)
    if json:
        print_json(provenance.as_json(results))
        return
    screen = console()
    screen.print(Text.assemble((candidate.name, HEAD), f" of {study.spec.name}, ", provenance.heading(results)))
    for block in provenance.lines(results):
        screen.print(block)


def _grow(
    branch: Tree,
    numbers: Sequence[int],
    above: Mapping[int, Sequence[int]],
    describe: Describe,
    depth: int,
    shown: set[int],
) -> None:
    for number in numbers:
        known = number in shown and bool(above.get(number))
        shown.add(number)
        line = describe(number)
        further = above.get(number, ())
        if known:
            line.append("  (as above)", style=QUIET)
        elif further and depth == 1:
            line.append(f"  (of {' and '.join(map(str, further))})", style=QUIET)
        leaf = branch.add(line)
        if not known and depth > 1:
            _grow(leaf, further, above, describe, depth - 1, shown)


def _describer(study: Study) -> Describe:
    from .best import units_of
    from .formats import number as shown

    label = study.spec.objectives[0].label
    unit = units_of(study)[label]
    records = {candidate.record.number: candidate.record for candidate in study.candidates}

    def describe(number: int) -> Text:
        record = records[number]
        figures = record.measurements.get("search", {})
        value = f"{label} {shown(figures[label].mean, unit)}" if label in figures else record.state
        return Text.assemble((f"candidate {number}", HEAD), f"  {value}", (f"  {record.operator}", QUIET))

    return describe


def _content(
    study: Study, number: int, parents: Mapping[int, Sequence[int]], children: Mapping[int, Sequence[int]]
) -> dict[str, object]:
    """The candidate, all its ancestors and its children, JSON-ready."""
    related, waiting = set(children[number]), [number]
    while waiting:
        current = waiting.pop()
        if current not in related or current == number:
            related.add(current)
            waiting.extend(parents[current])
    operators = {candidate.record.number: candidate.record.operator for candidate in study.candidates}
    return {
        "number": number,
        "children": children[number],
        "candidates": [
            {"number": place, "operator": operators[place], "parents": parents[place]} for place in sorted(related)
        ],
    }
