"""The main job as a benchmark: how long it takes, and by how much its winner beats what it was bred from.

    python -m benchmarks.quickstart [--quick] [--json FILE] [--figure FILE]

Runs examples/quickstart.yaml into a new database: base checkpoint (fetched if not in the cache), search, validation,
test and export. `--quick` searches 6 candidates on 10 items of each skill, and tests on the validation items.
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

from .bars import Bar, finish, parser

QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart.yaml"
SECONDS = 360.0
CONFIDENCE = 0.95
EXPERTS = ("italian", "indonesian", "addition")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--figure", type=Path, metavar="FILE", help="draw the figures as bars into FILE")
    arguments = options.parse_args()
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
    if arguments.figure is not None:
        draw(report, arguments.figure)
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
    low, high = estimate.interval(share=True, confidence=CONFIDENCE)
    return f"{estimate.mean:.2f} [{low:.2f}, {high:.2f}]"


def draw(report: Report, path: Path) -> None:
    """Groups of bars, a group for each column and a bar for each model, with intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    colours = ("#bbbbbb", "#88ccee", "#44aa99", "#117733", "#ddcc77", "#aa4499")  # Tol's muted scheme
    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    width = 0.8 / len(report.rows)
    for place, (row, colour) in enumerate(zip(report.rows, colours, strict=True)):
        means = [row.figures[column].mean for column in report.columns]
        ends = [row.figures[column].interval(share=True, confidence=CONFIDENCE) for column in report.columns]
        reach = [
            [m - low for m, (low, _) in zip(means, ends, strict=True)],
            [high - m for m, (_, high) in zip(means, ends, strict=True)],
        ]
        offsets = [column + (place - (len(report.rows) - 1) / 2) * width for column in range(len(means))]
        axes.bar(offsets, means, width * 0.92, label=row.name, color=colour, yerr=reach, ecolor="#444444", capsize=2)
    axes.axhline(0.25, color="#999999", linewidth=0.8, linestyle=":")
    axes.annotate("chance", (-0.47, 0.26), color="#777777", fontsize=8)
    axes.set_xticks(range(len(report.columns)), report.columns)
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy on test items")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(report.rows), frameon=False)
    figure.savefig(path, dpi=150)


def bars(report: Report, elapsed: float) -> list[Bar]:
    column = report.columns[0]
    *references, winner = [row.figures[column] for row in report.rows]
    low, _ = winner.interval(share=True, confidence=CONFIDENCE)
    experts = [row.figures[column] for row in report.rows if row.name in EXPERTS]
    return [
        Bar("winner above the best of base, experts and average", winner.mean - max(r.mean for r in references), 0.0),
        Bar(
            "winner's interval above the best expert's",
            low - max(e.interval(share=True, confidence=CONFIDENCE)[1] for e in experts),
            0.0,
        ),
        Bar(f"seconds left of {SECONDS:.0f}", SECONDS - elapsed, 0.0),
    ]


if __name__ == "__main__":
    main()
