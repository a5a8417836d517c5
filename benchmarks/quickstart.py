"""The main job as a benchmark: how long it takes, and by how much its winner beats what it was bred from.

    python -m benchmarks.quickstart [--quick] [--json FILE]

Runs examples/quickstart.yaml into a new database: base checkpoint (fetched if it is not in the cache), search,
validation, test and export. `--quick` searches 6 candidates on 10 items of each skill and tests on the validation items.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import transformers
from heterosis import Study, StudySpec
from heterosis.core.estimate import Estimate
from heterosis.search.report import Report

from .bars import Bar, finish, options

QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart.yaml"
SECONDS = 360.0
CONFIDENCE = 0.95
EXPERTS = ("italian", "indonesian", "addition")


def main() -> None:
    arguments = options(__doc__)
    transformers.utils.logging.disable_progress_bar()
    spec = StudySpec.from_file(QUICKSTART)
    if arguments.quick:
        spec = shortened(spec)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        study = Study.create(spec, Path(folder) / "heterosis.db")
        study.optimize()
        study.best().export(Path(folder) / "merged")
        elapsed = time.perf_counter() - started
        report = study.report()
        study.close()
    assert report is not None
    rows = [(row.name, *(figure(row.figures[column]) for column in report.columns)) for row in report.rows]
    title = f"The quickstart on its test items ({spec.candidates} candidates, {elapsed:.0f} s in all)"
    finish(title, ("model", *report.columns), rows, bars(report, elapsed), arguments.json)


def shortened(spec: StudySpec) -> StudySpec:
    tasks = {
        name: dataclasses.replace(
            task, items=10, files={"search": task.files["search"], "test": task.files["validation"]}
        )
        for name, task in spec.tasks.items()
    }
    return dataclasses.replace(spec, tasks=tasks, candidates=6)


def figure(estimate: Estimate) -> str:
    low, high = estimate.interval(CONFIDENCE)
    return f"{estimate.mean:.2f} [{low:.2f}, {high:.2f}]"


def bars(report: Report, elapsed: float) -> list[Bar]:
    column = report.columns[0]
    *references, winner = [row.figures[column] for row in report.rows]
    low, _ = winner.interval(CONFIDENCE)
    experts = [row.figures[column] for row in report.rows if row.name in EXPERTS]
    return [
        Bar("winner above the best of base, experts and average", winner.mean - max(r.mean for r in references), 0.0),
        Bar("winner's interval above the best expert's", low - max(e.interval(CONFIDENCE)[1] for e in experts), 0.0),
        Bar(f"seconds left of {SECONDS:.0f}", SECONDS - elapsed, 0.0),
    ]


if __name__ == "__main__":
    main()
