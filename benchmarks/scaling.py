"""What a second worker adds: candidates per minute with one worker process and with two, each on a core of its own.

    python -m benchmarks.scaling [--quick] [--json FILE]

The quickstart's search (SmolLM2-135M, three experts) in steady state, over the executor `processes`; SQLite. Loading
the study is left out. `--quick` asks fewer items, and counts fewer candidates.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import transformers
from heterosis import Study, StudySpec
from heterosis.storage import EvaluationRecord

from .bars import Bar, finish, parser
from .quickstart import QUICKSTART

CANDIDATES = {False: 24, True: 12}
ITEMS = {False: 30, True: 6}
SPEED_UP = 1.8


def main() -> None:
    arguments = parser(__doc__).parse_args()
    transformers.utils.logging.disable_progress_bar()
    rates = {workers: rate(workers, arguments.quick) for workers in (1, 2)}
    rows = [(str(workers), f"{60 * found:.2f}", f"{found / rates[1]:.2f}x") for workers, found in rates.items()]
    bars = [Bar("two workers over one", rates[2] / rates[1], at_least=SPEED_UP)]
    title = "Candidates of the quickstart's search, by worker processes with one core each"
    finish(title, ("workers", "candidates a minute", "over one"), rows, bars, arguments.json)


def rate(workers: int, quick: bool) -> float:
    """Candidates per second."""
    with tempfile.TemporaryDirectory() as folder:
        study = Study.create(searched_only(StudySpec.from_file(QUICKSTART), quick), Path(folder) / "heterosis.db")
        try:
            study.optimize(workers="processes", devices=",".join(["cpu"] * workers), cores=1)
            return steady_rate([candidate.record.evaluations["search"] for candidate in study.candidates], workers)
        finally:
            study.close()


def searched_only(spec: StudySpec, quick: bool) -> StudySpec:
    tasks = {
        name: dataclasses.replace(task, items=ITEMS[quick], files={"search": task.files["search"]})
        for name, task in spec.tasks.items()
    }
    return dataclasses.replace(
        spec,
        tasks=tasks,
        candidates=CANDIDATES[quick],
        finalists=1,
        optimizer="random",
        optimizer_options={},
        steady_state=True,
    )


def steady_rate(evaluations: Sequence[EvaluationRecord], workers: int) -> float:
    """The sum of the workers' rates, each from its first result, before which it loads the study, to its last."""
    ends: dict[str | None, list[datetime]] = {}
    for one in evaluations:
        assert one.finished_at is not None
        ends.setdefault(one.worker, []).append(one.finished_at)
    if len(ends) < workers or min(map(len, ends.values())) < 2:
        raise SystemExit(f"{len(ends)} of {workers} workers evaluated anything, one of them less than two candidates")
    return sum((len(found) - 1) / (max(found) - min(found)).total_seconds() for found in ends.values())


if __name__ == "__main__":
    main()
