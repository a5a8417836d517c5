"""`heterosis run` and `heterosis resume`: search, and leave a model, figures and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .crew import LOCAL, Each, Priority, Workers
from .options import DEFAULT_STORAGE, Broker, Device, Json, Name, NoExport, Out, Storage

if TYPE_CHECKING:
    from ..core.fitness_spec import FitnessSpec
    from ..core.study_spec import StudySpec


def run(
    file: Annotated[Path, typer.Argument(metavar="STUDY.yaml", show_default=False, help="The study file.")],
    out: Out = None,
    candidates: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many candidates, instead of the file's.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Seed of all that is random, instead of the file's.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the study, instead of the file's.")] = None,
    fitness: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How candidates are scored in the search, instead of the file's: `full` asks every item, `auto` or "
            "another estimator asks few.",
        ),
    ] = None,
    steady_state: Annotated[
        bool | None,
        typer.Option(
            "--steady-state/--generations",
            show_default=False,
            help="Whether the optimizer is fed as results arrive or with whole generations, instead of the file's.",
        ),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    device: Device = "auto",
    workers: Workers = LOCAL,
    each: Each = 1,
    broker: Broker = None,
    priority: Priority = 0,
    no_export: NoExport = False,
    json: Json = False,
) -> None:
    """Search for the best merge that a study file describes.

    Fetches the checkpoints, searches, picks the winner on validation items, measures it on test items beside base,
    sources and uniform average, and writes DIR/merged (the model), DIR/front.png and DIR/history.png.

    Everything is recorded at once: end it whenever you like (Ctrl-C), and go on with `heterosis resume`.

    Example:

        heterosis run study.yaml --candidates 100 --out results

        heterosis run study.yaml --workers processes
    """
    from ..core.study_spec import StudySpec
    from ..search.study import Study
    from . import foresight
    from .console import console
    from .crew import chosen_crew, fed_steadily
    from .fetching import open_checkpoints
    from .foresight import foresee
    from .outputs import Outputs
    from .preflight import check, check_storage
    from .searching import search

    spec = _overridden(StudySpec.from_file(file), candidates, seed, name, fitness, steady_state)
    spec = fed_steadily(spec, workers)
    screen = console(stderr=json)
    outputs = Outputs.of(spec.name, out, not no_export)
    outputs.check()
    check_storage(storage, spec.name)
    crew = chosen_crew(workers, device, each, broker, priority)
    evaluator = check(spec, crew.device, lambda: open_checkpoints(spec.space, screen))
    found = foresee(evaluator, outputs, screen)
    study = Study.create(spec, storage, crew.device)
    try:
        search(study, outputs, screen, crew, storage, json=json, foreseen=foresight.lines(found))
    finally:
        study.close()


def resume(
    name: Name = None,
    out: Out = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="How many in all: more than before searches further, fewer ends the search."
        ),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    device: Device = "auto",
    workers: Workers = LOCAL,
    each: Each = 1,
    broker: Broker = None,
    priority: Priority = 0,
    no_export: NoExport = False,
    json: Json = False,
) -> None:
    """Go on with an interrupted study, or search further.

    What is recorded is not evaluated again, and the search goes on exactly as it would have.

    Example:

        heterosis resume quickstart --candidates 200
    """
    from .console import console
    from .crew import chosen_crew
    from .fetching import open_checkpoints
    from .opening import loaded
    from .outputs import Outputs
    from .searching import search, searched

    screen = console(stderr=json)
    crew = chosen_crew(workers, device, each, broker, priority)
    with loaded(storage, name, crew.device) as study:
        outputs = Outputs.of(study.spec.name, out, not no_export)
        finished = study.record.state == "complete" and (candidates or study.spec.candidates) <= searched(study)
        if not (finished and outputs.holds(study, study.best())):
            outputs.check()
        open_checkpoints(study.spec.space, screen)
        search(study, outputs, screen, crew, storage, candidates, json)


def _overridden(
    spec: StudySpec,
    candidates: int | None,
    seed: int | None,
    name: str | None,
    fitness: str | None,
    steady_state: bool | None,
) -> StudySpec:
    from dataclasses import replace

    return replace(
        spec,
        candidates=spec.candidates if candidates is None else candidates,
        seed=spec.seed if seed is None else seed,
        name=spec.name if name is None else name,
        fitness=spec.fitness if fitness is None else _fitness(spec, fitness),
        steady_state=spec.steady_state if steady_state is None else steady_state,
    )


def _fitness(spec: StudySpec, estimator: str) -> FitnessSpec | None:
    """The file's settings with another estimator (without the options that the file's may have had)."""
    from ..core.fitness_spec import FULL, FitnessSpec

    if estimator == FULL or spec.fitness is None:
        return FitnessSpec.from_dict(estimator, spec.tasks, "--fitness")
    return FitnessSpec.from_dict({**spec.fitness.to_dict(), "estimator": estimator}, spec.tasks, "--fitness")
