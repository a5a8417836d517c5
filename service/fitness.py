"""`heterosis fitness`: how candidates were scored in the search, at what cost, and how good the estimates are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from .console import HEAD, QUIET, console, pairs, print_json, table
from .opening import command_line, loaded
from .options import DEFAULT_STORAGE, Device, Json, Name, Storage

if TYPE_CHECKING:
    from ..search.agreement import Agreement
    from ..search.fitness_report import FitnessReport
    from ..search.study import Study


def fitness(
    name: Name = None,
    check: Annotated[
        bool,
        typer.Option("--check", metavar="", help="Let the last generation's candidates answer every item first."),
    ] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it as well: .png, .svg or .pdf.")] = None,
    storage: Storage = DEFAULT_STORAGE,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Show how good the scores are that a search estimates from few items.

    Items asked beside full evaluation, the estimator in use, estimates beside full scores, whether their intervals
    hold. It reads the database; `--check` loads the model, asks each item once and does not change the search.

    Examples:

        heterosis fitness quickstart
        heterosis fitness quickstart --check --plot fitness.png
    """
    from .device import chosen_device

    screen = console(stderr=json)
    with loaded(storage, name, chosen_device(device) if check else "cpu") as study:
        report = _checked(study, screen, storage) if check else _read(study, screen)
        if plot is not None:
            from .fitness_figure import plot_fitness

            plot_fitness(report, plot)
        if json:
            print_json(report.to_dict())
            return
        for line in lines(report):
            screen.print(line)
        if report.generation is not None and report.fitness and report.generation.known < report.generation.candidates:
            screen.print()
            screen.print("Let the last generation answer every item, to know more (the search stays as it is):")
            screen.print(f"  {command_line('fitness', report.study, storage, '--check')}", soft_wrap=True)
        if plot is not None:
            screen.print(f"drawn in {plot}", style=QUIET)


def lines(report: FitnessReport) -> Iterator[RenderableType]:
    """The report, ready to be printed: the cost, the estimator, agreement, the last generation."""
    full = "every item asked" if not report.screened_out else "every item asked of those that few items chose"
    how = f"{report.fitness.estimator}, from few items" if report.fitness else full
    yield Text.assemble(("Fitness", HEAD), f" of {report.study}: {how}")
    if report.fitness is None and not report.screened_out:
        yield (
            f"Every candidate was asked every one of the {report.items} search items, so there is nothing to estimate. "
            "With `fitness: auto` in a study file, a candidate is asked about a dozen."
        )
    yield pairs(_cost(report))
    if report.fitness is None:
        return
    yield ""
    yield from _learned(report)
    for agreement in report.agreements:
        yield ""
        yield from _agreement(agreement)
    if report.generation is not None:
        yield ""
        yield from _generation(report)


def _read(study: Study, screen: Console) -> FitnessReport:
    from .fetching import working

    with working(screen, "Reading what was asked and answered"):
        return study.fitness()


def _checked(study: Study, screen: Console, storage: str) -> FitnessReport:
    """The report, after the last generation has answered everything in sight."""
    from ..core.errors import ConfigurationError
    from .fetching import counting, open_checkpoints
    from .standing import standing

    if study.spec.fitness is None:
        return _read(study, screen)
    if standing(study.store, study.record).state == "running":
        raise ConfigurationError(
            f"the study {study.spec.name!r} is running, or was killed while it ran: let it finish, or go on with it,\n"
            f"  {command_line('resume', study.spec.name, storage)}\nbefore its estimates are checked"
        )
    open_checkpoints(study.spec.space, screen)
    with counting(screen, "The last generation answers every item") as count:
        return study.fitness(check=True, checked=count)


def _cost(report: FitnessReport) -> Iterator[tuple[str, str | Text]]:
    asked = list(report.asked.values())
    if not asked:
        yield "candidates", "none has been asked yet"
        return
    each = f"{sum(asked) / len(asked):.1f} each (least {min(asked)}, most {max(asked)}) of {report.items}"
    full = f"{report.elites} candidates, all items" if report.screened_out else f"{len(asked)} candidates, all items"
    yield "asked", f"{len(asked)} candidates, {each}" if report.fitness else full
    if report.fitness is None:
        if report.screened_out:
            yield "screened out", f"{report.screened_out} candidates, after few items"
        yield "items in all", f"{report.in_all:,}"
        return
    parts = (
        (sum(asked), "in races"),
        (report.of_sources, "to sources"),
        (report.of_elites, "more to elites"),
        (report.of_retests, "more to the best at the end"),
    )
    yield "items in all", f"{report.in_all:,}: " + ", ".join(f"{count:,} {to}" for count, to in parts if count)
    yield "in full", f"{report.full:,}: every candidate, every item"
    if report.speed_up is not None:
        yield "speed-up", f"{report.speed_up:.1f} times fewer items"
    if report.checked:
        yield "checked", f"{report.checked:,} items more, asked to check estimates and unknown to the search"


def _learned(report: FitnessReport) -> Iterator[RenderableType]:
    imported = [f"{count} imported for {task}" for task, count in report.imported.items()]
    models = [_count(report.sources, "source"), _count(report.elites, "elite"), *imported]
    rows: list[tuple[str, str | Text]] = [("learned from", f"{', '.join(models)}, which have answered every item")]
    choices = {(choice.name, choice.reasons) for choice in report.choices.values()}
    for task, choice in report.choices.items():
        of = "estimator" if len(choices) == 1 else f"estimator of {task}"
        rows.append((of, choice.name))
        rows += [("", reason) for reason in choice.reasons]
        if len(choices) == 1:
            break
    if report.drift is not None:
        off = f"{100 * report.drift.difference:+.1f} points from predicted (z {report.drift.z:+.1f})"
        rows.append(("random items", f"{report.drift.answers} answers, {off}"))
    yield pairs(rows)


def _agreement(agreement: Agreement) -> Iterator[RenderableType]:
    count = len(agreement.known)
    elites = sum(one.elite for one in agreement.known)
    yield Text.assemble(
        ("Estimated beside full", HEAD),
        f": {agreement.objective}, {_count(count, 'candidate')} with both ({_count(elites, 'elite')})",
    )
    if agreement.error is None or agreement.bias is None:
        yield "No candidate that was asked few items has answered all of them yet."
        return
    rows: list[tuple[str, str | Text]] = [
        ("mean error", f"{agreement.error:.1f} points"),
        ("bias", f"{agreement.bias:+.1f} points{_why(agreement, elites)}"),
        ("order", f"Spearman {_of(agreement.spearman, count)}, Kendall {_of(agreement.kendall, count)}"),
    ]
    yield pairs(rows)
    made = table("interval", *(f"{level:.0%}" for level in agreement.calibration))
    made.add_row(Text("holds", style=QUIET), *(f"{share:.0%}" for share in agreement.calibration.values()))
    yield made


def _generation(report: FitnessReport) -> Iterator[RenderableType]:
    found = report.generation
    assert found is not None
    count = f"{found.known} of {found.candidates} candidates have answered every item"
    yield Text.assemble(("Last generation", HEAD), f": {count}")
    ranked = [(label, value) for label, value in found.kendall.items() if value is not None]
    if ranked:
        yield pairs((f"Kendall, {label}", f"{value:.2f} between estimates and full scores") for label, value in ranked)


def _why(agreement: Agreement, elites: int) -> str:
    """Elites were chosen because they looked best, so that luck is on their side."""
    return " (those that look best are partly lucky)" if elites == len(agreement.known) else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _of(value: float | None, count: int) -> str:
    return f"{value:.2f}" if value is not None else f"unknown from {count}"
