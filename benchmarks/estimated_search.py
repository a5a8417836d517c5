"""Two searches of the quickstart, side by side: one asks every search item, the other a dozen of each candidate.

    python -m benchmarks.estimated_search [--quick] [--json FILE] [--folder DIR]

The search items are more than the quickstart's: 160 of each skill (its 30, and 130 that the expert of the skill has
learned from); validation and test items are the quickstart's own. Both searches have the same seed, optimizer and
number of candidates. The one that asks every item takes most of an hour on two cores; with `--folder`, a run that was
interrupted goes on where it was. `--quick` has 30 items of each skill and 8 candidates: it shows that both run, and has
no bars, because so few items leave nothing to save. Needs num2words (`pip install ".[experts]"`).
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import transformers
from heterosis import Study, StudySpec
from heterosis.core.errors import ConfigurationError
from heterosis.core.fitness_spec import FitnessSpec
from heterosis.search.progress import Progress

from .bars import Bar, finish, parser
from .quickstart import CONFIDENCE, QUICKSTART, figure

POOL, CANDIDATES = 160, 160
QUICK_POOL, QUICK_CANDIDATES = 30, 8
SHARE = 0.05
FITNESS = FitnessSpec(first=6, most=24, elites=0.1)
EVERY, ESTIMATED = "every item", "estimated"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--folder", type=Path, metavar="DIR", help="keep the searches here, and go on with them")
    arguments = options.parse_args()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        spec = enlarged(StudySpec.from_file(QUICKSTART), folder, arguments.quick)
        studies = [searched(dataclasses.replace(spec, name=EVERY), folder)]
        studies.append(searched(dataclasses.replace(spec, name=ESTIMATED, fitness=FITNESS), folder))
        rows = [row(study) for study in studies]
        limits = bars(*studies) if not arguments.quick else []
        for study in studies:
            study.close()
    title = f"Two searches of the quickstart, {spec.candidates} candidates each, winners on test items"
    columns = ("search", "test accuracy", "items asked", "of all", "per candidate", "search seconds")
    finish(title, columns, rows, limits, arguments.json)


def enlarged(spec: StudySpec, folder: Path, quick: bool) -> StudySpec:
    """The quickstart with more search items."""
    skills = load_skills()
    tasks = {}
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    for name, task in spec.tasks.items():
        sets = skills.deal(name)
        pool = [*sets["search"], *sets["train"]][: QUICK_POOL if quick else POOL]
        lines = [json.dumps(skills.as_item(question), ensure_ascii=False) for question in pool]
        path = folder / "tasks" / f"{name}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        tasks[name] = dataclasses.replace(task, files={**task.files, "search": str(path)})
    return dataclasses.replace(spec, tasks=tasks, candidates=QUICK_CANDIDATES if quick else CANDIDATES)


def load_skills() -> ModuleType:
    """examples/quickstart/skills.py, which is a script and no part of the package."""
    path = QUICKSTART.parent / "quickstart" / "skills.py"
    found = importlib.util.spec_from_file_location("skills", path)
    assert found is not None
    assert found.loader is not None
    module = sys.modules["skills"] = importlib.util.module_from_spec(found)  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


def searched(spec: StudySpec, folder: Path) -> Study:
    """The study, run to its end."""
    database = folder / "heterosis.db"
    try:
        study = Study.load(spec.name, database)
    except ConfigurationError:  # there is none of this name
        study = Study.create(spec, database)
    started = time.monotonic()

    def tell(progress: Progress) -> None:
        print(f"\r{spec.name}: {progress.stage} {progress.done} of {progress.whole}", end="", flush=True)

    study.optimize(listener=tell)
    print(f", {time.monotonic() - started:.0f} s")
    return study


def asked(study: Study) -> int:
    """How many search items were asked, of sources and candidates, in all."""
    whole = sum(len(group.items) for group in study.items["search"].values())
    parts = [part for of_one in study.store.queue.parts(study.record.id, "search").values() for part in of_one]
    return sum(whole if part.items is None else sum(map(len, part.items.values())) for part in parts)


def row(study: Study) -> tuple[str, ...]:
    report = study.report()
    assert report is not None
    whole = sum(len(group.items) for group in study.items["search"].values()) * study.spec.candidates
    parts = [part for of_one in study.store.queue.parts(study.record.id, "search").values() for part in of_one]
    seconds = sum(sum(part.seconds.values()) for part in parts)
    winner = report.winner.figures[report.columns[0]]
    items = asked(study)
    return (
        study.spec.name,
        figure(winner),
        f"{items:,}",
        f"{items / whole:.1%}",
        f"{items / study.spec.candidates:.1f}",
        f"{seconds:.0f}",
    )


def bars(every: Study, estimated: Study) -> list[Bar]:
    reports = every.report(), estimated.report()
    assert reports[0] is not None
    assert reports[1] is not None
    column = reports[0].columns[0]
    low, _ = reports[0].winner.figures[column].interval(share=True, confidence=CONFIDENCE)
    return [
        Bar(
            "estimated winner above the lower end of the other's interval",
            reports[1].winner.figures[column].mean - low,
            0,
        ),
        Bar("items asked, as a share of the other's", asked(estimated) / asked(every), at_most=SHARE),
    ]


if __name__ == "__main__":
    main()
