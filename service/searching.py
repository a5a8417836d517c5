"""Drives a study to its end: search, validation, test, export, figures, report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.text import Text

from ..core.errors import HeterosisError
from . import overview, summary
from .console import HEAD, QUIET, pairs, print_json
from .fetching import telling, working
from .formats import size
from .opening import command_line
from .options import DEFAULT_STORAGE
from .outputs import Outputs
from .stages import display

if TYPE_CHECKING:
    from ..search.study import Study
    from .crew import Crew


def search(
    study: Study,
    outputs: Outputs,
    console: Console,
    crew: Crew,
    storage: str = DEFAULT_STORAGE,
    candidates: int | None = None,
    json: bool = False,
    foreseen: Iterable[RenderableType] = (),
) -> None:
    """Runs what is left of a study whose checkpoints are open, and says what came of it.

    Args:
        crew: who evaluates.
        candidates: how many proposals there shall be in all (default: what the study was set up with).
        foreseen: what is to be said of what the study will need, below what it is about to do.
        json: print the report as JSON on stdout; `console` should then be on stderr.

    Raises:
        KeyboardInterrupt: the search was interrupted; a note says how to go on.
        HeterosisError: it cannot go on; a note says what to do after mending it.
    """
    from ..search.progress import Progress
    from ..search.reporter import SOURCES_ANSWER

    done = searched(study)
    doing = SOURCES_ANSWER if study.spec.fitness is not None and not study.candidates else ""
    budget = max(candidates or study.spec.candidates, done)
    told = overview.lines(study.spec, study.items, crew.where, budget, advise=not study.candidates)
    for line in (*told, *foreseen):
        console.print(line)
    console.print()
    with _notes(study, outputs, crew, storage, budget):
        with telling(console) as tell:
            study.prepare(tell)
        with display(console, Progress("search", done, budget, 0, "", "", None, None, doing)) as listener:
            study.optimize(budget, listener, crew.workers, **crew.options)
        _write(study, outputs, console)
    _conclude(study, outputs, console)
    if json:
        print_json(summary.as_json(study) | {"outputs": _written(outputs)})


def searched(study: Study) -> int:
    """How many candidates have been evaluated on search items, failed ones included."""
    return sum(candidate.record.is_over("search") for candidate in study.candidates)


@contextmanager
def _notes(study: Study, outputs: Outputs, crew: Crew, storage: str, budget: int) -> Iterator[None]:
    """Adds to whatever ends the search early how to go on."""

    def resume() -> str:
        more = ["--candidates", str(budget)] if budget != study.spec.candidates else []  # ended before it was noted
        return command_line("resume", study.spec.name, storage, *more, *crew.words, *outputs.options(study.spec.name))

    try:
        yield
    except KeyboardInterrupt as interruption:
        done = searched(study)
        interruption.add_note(
            f"Interrupted after {done} of {budget} candidates; nothing is lost. Go on with:\n  {resume()}"
        )
        raise
    except HeterosisError as error:
        error.add_note(f"What was measured is kept. Once this is mended, go on with:\n  {resume()}")
        raise
    except Exception as error:
        error.add_note(f"Nothing that was measured is lost. Go on with:\n  {resume()}")
        raise


def _write(study: Study, outputs: Outputs, console: Console) -> None:
    from .figures import axes_of, plot_front, plot_history

    best = study.best()
    if outputs.export and not outputs.holds(study, best):
        with working(console, f"Writing {best.name} to {outputs.merged}"):
            best.export(outputs.merged)
    with working(console, "Drawing the figures"):
        outputs.folder.mkdir(parents=True, exist_ok=True)
        plot_history(study, outputs.history)
        if len(axes_of(study)) > 1:
            plot_front(study, outputs.front)


def _conclude(study: Study, outputs: Outputs, console: Console) -> None:
    from ..fitness.engine_figures import weight_files

    report = study.report()
    console.print()
    if report is None:
        console.print("There are no test items, so nothing is known about items that selection has not seen.")
    else:
        for line in summary.lines(report, console.width):
            console.print(line)
    console.print()
    best = study.best()
    rows = [("winner", Text(f"{best.name}, shown by `heterosis best`"))]
    if outputs.export:
        weights = sum(path.stat().st_size for path in weight_files(outputs.merged))
        rows.append(("model", Text(f"{outputs.merged} ({size(weights)})")))
    figures = [str(path) for path in (outputs.history, outputs.front) if path.exists()]
    rows.append(("figures", Text(", ".join(figures))))
    rows.append(("database", Text(study.store.database.where)))
    console.print(pairs(rows))
    if outputs.export and not any(outputs.merged.glob("*.gguf")):
        console.print()
        console.print(Text("Load it:", style=HEAD))
        console.print("  from transformers import pipeline", style=QUIET)
        console.print(
            f'  generate = pipeline("text-generation", model="{outputs.merged}")', style=QUIET, soft_wrap=True
        )


def _written(outputs: Outputs) -> dict[str, str | None]:
    paths = {"merged": outputs.merged, "front": outputs.front, "history": outputs.history}
    return {name: str(path.resolve()) if path.exists() else None for name, path in paths.items()}
