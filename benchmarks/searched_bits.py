"""Searched bit-widths of SmolLM2-135M against uniform ones, an integer programme, and a search after the merge.

    python -m benchmarks.searched_bits [--quick] [--json FILE] [--folder DIR] [--seeds N] [--budgets 2.5 3 ...]

Three experiments, each at several budgets of average bits per weight of the linear layers, scales and zero points
counted, for several seeds of the search:

1. *bits*: the model itself is quantised. The search minimises the divergence (KL) from the model as it was, on
   few texts; compared are the winner, every uniform format that keeps the budget (the best of them on the held-out
   text is taken), and the allocation by integer programming that the search started from.
2. *text*: three experts are merged and quantised. One search sees merge and bits together; the other, of as many
   candidates, first searches the merge and then the bits of the best merge. Both minimise perplexity on the experts'
   skills, written out.
3. *skills*: the same with another aim: both maximise accuracy on the skills' multiple-choice questions.

Held out are items that no search has seen: other documentation (1), the skills' test questions (2 and 3), as text and
as questions. Texts are docstrings of NumPy (calibration), of NumPy and of five modules of SciPy (search) and of
scipy.stats (held out), so that nothing is to be fetched but the model. Ratios are of perplexities, geometric means over
seeds; what is gained in accuracy is in points, means over seeds; intervals are over items, paired.

With `--folder`, an interrupted run goes on where it was. `--quick`: one budget, one seed, few candidates, and no bars:
it shows that everything runs.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import itertools
import json
import math
import re
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import transformers
from heterosis import Study, StudySpec
from heterosis.core.errors import ConfigurationError
from heterosis.core.executors import costs
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.fitness.evaluator import Evaluator
from heterosis.search.progress import Progress

from .bars import Bar, finish, parser
from .quickstart import QUICKSTART

BUDGETS = (2.5, 3.0, 3.5, 4.0)
LEVELS = [f"gptq:int{form}-asym" for form in ("2-g64", "2-g32", "3-g64", "3-g32", "4-g64", "4-g32")]
UNIFORM = [f"gptq:int{width}-g{group}-asym" for width in (2, 3) for group in (96, 64, 48, 32, 24)]
OPTIONS = {"gptq": {"search": "mse"}}
SKILLS = ("italian", "indonesian", "addition")
OPTIMIZER = {"name": "level_bayes"}
CANDIDATES = 72
MERGES, BITS_AFTER = 24, 40
EXPERIMENTS = ("bits", "text", "skills")
STAGES = ("search", "validation", "test")
SEARCHED = ("interpolate", "linalg", "ndimage", "optimize", "signal")
TEXT, HELD_OUT = "documentation", "held-out documentation"


class Figures(NamedTuple):
    """Of a model on held-out items: the mean surprise of each piece of text, and the scores of questions, if asked."""

    bits: float
    surprise: tuple[float, ...]
    answers: tuple[float, ...]

    @property
    def perplexity(self) -> float:
        return math.exp(statistics.fmean(self.surprise))

    @property
    def accuracy(self) -> float | None:
        return statistics.fmean(self.answers) if self.answers else None


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--folder", type=Path, metavar="DIR", help="keep the searches here, and go on with them")
    options.add_argument("--seeds", type=int, default=2, metavar="N", help="how many seeds (default: 2)")
    options.add_argument("--budgets", type=float, nargs="+", default=list(BUDGETS), metavar="BITS")
    options.add_argument("--only", choices=EXPERIMENTS, help="one of the experiments")
    options.add_argument("--first-seed", type=int, default=0, metavar="SEED", help="default: 0")
    arguments = options.parse_args()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        laboratory = Laboratory((arguments.folder or Path(temporary)).absolute(), arguments.quick)
        rows, bars, details = run(laboratory, arguments)
    title = "Searched bit-widths of SmolLM2-135M, held-out perplexity (lower is better) and accuracy"
    columns = ("experiment", "bits", "compared with", "theirs", "searched", "ratio or points", "95% interval")
    finish(title, columns, rows, [] if arguments.quick else bars, arguments.json, details)


def run(laboratory: Laboratory, arguments: argparse.Namespace) -> tuple[list[Sequence[str]], list[Bar], dict[str, Any]]:
    """Rows of the table, bars and what the JSON has besides."""
    budgets = [3.0] if arguments.quick else arguments.budgets
    first = arguments.first_seed
    seeds = range(first, first + (1 if arguments.quick else arguments.seeds))
    rows: list[Sequence[str]] = []
    bars: list[Bar] = []
    details: dict[str, Any] = {"winners": []}
    names = [arguments.only] if arguments.only else EXPERIMENTS
    compared = {
        (name, budget, seed): laboratory.compare(name, budget, seed)
        for name, seed, budget in itertools.product(names, seeds, budgets)
    }
    for name, budget in itertools.product(names, budgets):
        found = [compared[name, budget, seed] for seed in seeds]
        for other in found[0].others:
            pairs = [(one.searched, one.others[other]) for one in found]
            judged = _points(pairs) if name == "skills" else _ratio(pairs)
            rows.append(
                (
                    name,
                    f"{budget:g}",
                    other,
                    _shown([its for _, its in pairs]),
                    _shown([searched for searched, _ in pairs]),
                    *judged.row,
                )
            )
            bars.append(judged.bar(f"{name} at {budget:g} bits", other))
        details["winners"] += [
            {"experiment": name, "budget": budget, "seed": seed, **_details(one)}
            for seed, one in zip(seeds, found, strict=True)
        ]
    return rows, bars, details


class Comparison(NamedTuple):
    """One search's winner, and what it is compared with, by name."""

    searched: Figures
    others: Mapping[str, Figures]


class Laboratory:
    """Texts, studies and what was measured, in a folder."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self._folder = folder
        self._quick = quick
        self._quickstart = StudySpec.from_file(QUICKSTART)
        self._base = self._quickstart.space.base.split(" | ")
        self._measured: dict[str, Figures] = {}
        self._evaluators: dict[str, Evaluator] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._write_texts()

    def bits(self, budget: float, seed: int) -> Comparison:
        """The model itself, quantised."""
        study = self._searched(self._bits_spec(budget, seed))
        evaluator = self._evaluator(study.spec)
        winner = self._figures(evaluator, study.best().recipe)
        known = study.store.studies.levels(study.record.id)
        assert known is not None
        allocation = next(one for one in known["starts"] if one["label"].startswith("allocation"))
        recipe = self._start(study, allocation)
        others = {
            "the best uniform": self._best_uniform(evaluator, budget),
            "the integer programme": self._figures(evaluator, recipe),
        }
        study.close()
        return Comparison(winner, others)

    def compare(self, experiment: str, budget: float, seed: int) -> Comparison:
        """One of the experiments, at one budget, with one seed."""
        return self.bits(budget, seed) if experiment == "bits" else self.merge(experiment, budget, seed)

    def merge(self, aim: str, budget: float, seed: int) -> Comparison:
        """Three experts: merge and bits together, and one after the other; the aim is *text* or *skills*."""
        together = self._searched(self._joint_spec(aim, budget, seed))
        winner = self._figures(self._evaluator(together.spec), together.best().recipe)
        together.close()
        merged = self._folder / f"merged-{aim}-{seed}"
        merges = self._searched(self._merge_spec(aim, seed))
        if not merged.exists():
            merges.best().export(merged)
        merges.close()
        after = self._searched(self._after_spec(aim, budget, seed, merged))
        other = self._figures(self._evaluator(after.spec), after.best().recipe)
        after.close()
        return Comparison(winner, {"bits after the merge": other})

    def _start(self, study: Study, start: Mapping[str, Any]) -> Recipe:
        from heterosis import Genome

        return study.spec.space.decode(Genome(start["genome"]))

    def _best_uniform(self, evaluator: Evaluator, budget: float) -> Figures:
        """Of all uniform formats that keep the budget, the best on the held-out text."""
        content = self._bits_spec(budget, 0)
        levels = {**content["space"]["quantize"], "levels": UNIFORM}
        levels.pop("budget")
        space = StudySpec.from_dict({**content, "space": {**content["space"], "quantize": levels}}, self._folder).space
        assert space.levels is not None
        found = []
        for label in UNIFORM:
            genome = space.levels.uniform(label)
            assert genome is not None
            recipe = space.decode(genome)
            if costs(plan(recipe, evaluator.spec.space.checkpoints)).bits <= budget:
                found.append(self._figures(evaluator, recipe))
        return min(found, key=lambda one: one.perplexity)

    def _searched(self, content: Mapping[str, Any]) -> Study:
        """The study, run to its end."""
        database = self._folder / "heterosis.db"
        spec = StudySpec.from_dict(content, self._folder)
        try:
            study = Study.load(spec.name, database)
        except ConfigurationError:  # there is none of this name
            study = Study.create(spec, database)
        if study.record.state != "complete" or study.spec.candidates < spec.candidates:
            started = time.monotonic()

            def tell(progress: Progress) -> None:
                print(f"\r{spec.name}: {progress.stage} {progress.done} of {progress.whole}", end="", flush=True)

            study.optimize(candidates=spec.candidates, listener=tell)
            print(f", {time.monotonic() - started:.0f} s", flush=True)
        return study

    def _evaluator(self, spec: StudySpec) -> Evaluator:
        key = json.dumps([spec.space.base, list(spec.space.labelled.values())])
        if key not in self._evaluators:
            self._evaluators = {key: Evaluator(spec)}  # one at a time: each has a resident model
        return self._evaluators[key]

    def _figures(self, evaluator: Evaluator, recipe: Recipe) -> Figures:
        key = recipe.hash
        if key not in self._measured:
            kept = self._folder / "measured" / f"{key}.json"
            if not kept.exists():
                scores = evaluator.evaluate(recipe, "test").scores
                held = [task for name, task in sorted(scores.items()) if name.startswith(HELD_OUT)]
                content = {
                    "bits": costs(plan(recipe, evaluator.spec.space.checkpoints)).bits,
                    "surprise": [-math.log(score) for task in held for score in task],
                    "answers": [score for skill in SKILLS for score in scores.get(skill, ())],
                }
                kept.parent.mkdir(exist_ok=True)
                kept.write_text(json.dumps(content))
            content = json.loads(kept.read_text())
            self._measured[key] = Figures(content["bits"], tuple(content["surprise"]), tuple(content["answers"]))
        return self._measured[key]

    def _bits_spec(self, budget: float, seed: int) -> dict[str, Any]:
        return {
            "study": f"bits {budget:g} seed {seed}",
            "seed": seed,
            "candidates": 24 if self._quick else CANDIDATES,
            "space": {
                "base": self._base,
                "sources": {"model": " | ".join(self._base)},
                "merge": {"method": "passthrough"},
                "quantize": self._quantize(budget, "calibration.txt"),
            },
            "tasks": {
                TEXT: {"type": "divergence", "search": "search.txt", "characters": 200},
                HELD_OUT: {"type": "perplexity", "test": "held-out.txt", "characters": 400},
            },
            "objectives": [{"minimize": "divergence", "tasks": [TEXT]}],
            "optimizer": OPTIMIZER,
        }

    def _joint_spec(self, aim: str, budget: float, seed: int) -> dict[str, Any]:
        sources = {skill: f"{QUICKSTART.parent}/quickstart/experts/{skill}" for skill in SKILLS}
        tasks: dict[str, Any] = {}
        for skill in SKILLS:
            tasks[f"{HELD_OUT} {skill}"] = {"type": "perplexity", "test": f"{skill}-test.txt", "characters": 300}
            tasks[skill] = {"type": "multiple_choice", "test": str(_questions(skill, "test"))}
            if aim == "text":
                tasks[f"{skill} text"] = {"type": "perplexity", "search": f"{skill}-search.txt", "characters": 300}
            else:
                tasks[skill]["search"] = f"{skill}-search.jsonl"
        if aim == "text":
            objective = {"minimize": "perplexity", "tasks": [f"{skill} text" for skill in SKILLS]}
        else:
            objective = {"maximize": "accuracy", "tasks": list(SKILLS)}
        return {
            "study": f"{aim}: together, {budget:g} bits, seed {seed}",
            "seed": seed,
            "candidates": 12 if self._quick else MERGES + BITS_AFTER,
            "space": {
                "base": self._base,
                "sources": sources,
                "merge": {"method": "task_arithmetic", "weight": [0.0, 1.5]},
                "quantize": self._quantize(budget, "skills.txt"),
            },
            "tasks": tasks,
            "objectives": [objective],
            "optimizer": OPTIMIZER,
        }

    def _merge_spec(self, aim: str, seed: int) -> dict[str, Any]:
        content = self._joint_spec(aim, 0, seed)
        space = {key: value for key, value in content["space"].items() if key != "quantize"}
        candidates = 6 if self._quick else MERGES
        return {**content, "study": f"{aim}: merge alone, seed {seed}", "space": space, "candidates": candidates}

    def _after_spec(self, aim: str, budget: float, seed: int, merged: Path) -> dict[str, Any]:
        content = self._joint_spec(aim, budget, seed)
        space = {
            "base": str(merged),
            "sources": {"merged": str(merged)},
            "merge": {"method": "passthrough"},
            "quantize": self._quantize(budget, "skills.txt"),
        }
        name = f"{aim}: bits after the merge, {budget:g} bits, seed {seed}"
        candidates = 6 if self._quick else BITS_AFTER
        return {**content, "study": name, "space": space, "candidates": candidates}

    def _quantize(self, budget: float, calibration: str) -> dict[str, Any]:
        return {"levels": LEVELS, "budget": budget, "calibration": calibration, "options": OPTIONS}

    def _write_texts(self) -> None:
        numpy, others = _paragraphs("numpy"), [_paragraphs(f"scipy.{module}") for module in SEARCHED]
        several = [numpy[1::4][:40], *(paragraphs[:: max(len(paragraphs) // 16, 1)][:16] for paragraphs in others)]
        self._write("calibration.txt", numpy[::4][:150])
        self._write("search.txt", [paragraph[:200] for part in several for paragraph in part])
        seen = {*numpy, *itertools.chain.from_iterable(others)}
        self._write(
            "held-out.txt", [paragraph for paragraph in _paragraphs("scipy.stats") if paragraph not in seen][::10][:120]
        )
        skills = []
        for skill in SKILLS:
            questions = {stage: _questions(skill, stage).read_text().splitlines() for stage in STAGES}
            self._write(f"{skill}-search.jsonl", questions["search"] + questions["validation"])
            for stage in ("search", "test"):
                self._write(f"{skill}-{stage}.txt", [_answered(json.loads(line)) for line in questions[stage]])
            skills += [_answered(json.loads(line)) for line in questions["search"]]
        self._write("skills.txt", [*skills, *numpy[::4][:40]])

    def _write(self, name: str, lines: Sequence[str]) -> None:
        (self._folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _paragraphs(module_name: str) -> list[str]:
    """The paragraphs of prose of a module's docstrings, each once."""
    module = importlib.import_module(module_name)
    found: dict[str, None] = {}
    for name in sorted(dir(module)):
        text = getattr(getattr(module, name), "__doc__", None)
        for part in re.split(r"\n\s*\n", inspect.cleandoc(text)) if isinstance(text, str) else []:
            paragraph = " ".join(part.split())
            if len(paragraph) > 150 and ">>>" not in paragraph and "---" not in paragraph:
                found[paragraph] = None
    return list(found)


def _questions(skill: str, stage: str) -> Path:
    return QUICKSTART.parent / "quickstart" / "tasks" / skill / f"{stage}.jsonl"


def _answered(item: Mapping[str, Any]) -> str:
    return f"{item['prompt']}{item['choices'][item['answer']]}."


class Judged(NamedTuple):
    """How much better the searched one is: a ratio of perplexities (below 1 is better), or points of accuracy."""

    value: float
    low: float
    high: float
    points: bool

    @property
    def row(self) -> tuple[str, str]:
        shown = "{:+.1f}" if self.points else "{:.3f}"
        return shown.format(self.value), f"{shown.format(self.low)} to {shown.format(self.high)}"

    def bar(self, where: str, other: str) -> Bar:
        if self.points:
            return Bar(f"{where}: points of accuracy over {other}", self.value, at_least=0)
        return Bar(f"{where}: perplexity against {other}", self.value, at_most=1)


def _ratio(pairs: Sequence[tuple[Figures, Figures]]) -> Judged:
    """Of perplexities: the geometric mean over seeds."""
    value, low, high = _paired([(searched.surprise, other.surprise) for searched, other in pairs])
    return Judged(math.exp(value), math.exp(low), math.exp(high), points=False)


def _points(pairs: Sequence[tuple[Figures, Figures]]) -> Judged:
    """Of accuracy: the mean over seeds of what the searched one answers more of, in points."""
    value, low, high = _paired([(searched.answers, other.answers) for searched, other in pairs])
    return Judged(100 * value, 100 * low, 100 * high, points=True)


def _paired(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[float, float, float]:
    """Mean and 95% interval, over items, of the mean over seeds of the difference."""
    differences = np.mean([np.subtract(searched, other) for searched, other in pairs], axis=0)
    mean = float(differences.mean())
    half = 1.96 * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return mean, mean - half, mean + half


def _shown(figures: Sequence[Figures]) -> str:
    known = [one.accuracy for one in figures if one.accuracy is not None]
    perplexity = f"{statistics.fmean(one.perplexity for one in figures):.2f}"
    return f"{perplexity} ({statistics.fmean(known):.1%})" if known else perplexity


def _details(one: Comparison) -> dict[str, Any]:
    named = {"searched": one.searched, **one.others}
    return {
        name: {"bits": figures.bits, "perplexity": figures.perplexity, "accuracy": figures.accuracy}
        for name, figures in named.items()
    }


if __name__ == "__main__":
    main()
