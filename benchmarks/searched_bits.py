"""Searched bit-widths of SmolLM2-135M against uniform ones, an integer programme, and a search after the merge.

    python -m benchmarks.searched_bits [--quick] [--json FILE] [--folder DIR] [--seeds N] [--budgets 2.5 3 ...]

Two experiments, each at several budgets of average bits per weight of the linear layers, scales and zero points
counted, for several seeds of the search:

1. *bits*: the model itself is quantised. The search minimises the divergence (KL) from the model as it was, on
   few texts; compared are the winner, every uniform format that keeps the budget (the best of them on the held-out
   text is taken), and the allocation by integer programming that the search started from.
2. *merge*: three experts are merged and quantised. One search sees merge and bits together; the other, of as many
   candidates, first searches the merge and then the bits of the best merge. Both minimise perplexity on the experts'
   skills.

Held out are texts that no search has seen: other documentation (1), the skills' test questions (2), with accuracy as
the task. Texts are docstrings of NumPy (calibration), of NumPy and of five modules of SciPy (search) and of scipy.stats
(held out), so that nothing is to be fetched but the model. Ratios are of perplexities, geometric means over seeds;
intervals are over pieces of text, paired.

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
SEARCHED = ("interpolate", "linalg", "ndimage", "optimize", "signal")
TEXT, HELD_OUT = "documentation", "held-out documentation"


class Figures(NamedTuple):
    """Of a model on held-out items: perplexity, mean surprise of each piece, and by skill accuracy, if asked."""

    bits: float
    surprise: tuple[float, ...]
    accuracy: float | None

    @property
    def perplexity(self) -> float:
        return math.exp(statistics.fmean(self.surprise))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--folder", type=Path, metavar="DIR", help="keep the searches here, and go on with them")
    options.add_argument("--seeds", type=int, default=2, metavar="N", help="how many seeds (default: 2)")
    options.add_argument("--budgets", type=float, nargs="+", default=list(BUDGETS), metavar="BITS")
    options.add_argument("--only", choices=("bits", "merge"), help="one of the two experiments")
    arguments = options.parse_args()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        laboratory = Laboratory((arguments.folder or Path(temporary)).absolute(), arguments.quick)
        rows, bars, details = run(laboratory, arguments)
    title = "Searched bit-widths of SmolLM2-135M, held-out perplexity (lower is better)"
    columns = ("experiment", "bits", "compared with", "theirs", "searched", "ratio", "95% interval")
    finish(title, columns, rows, [] if arguments.quick else bars, arguments.json, details)


def run(laboratory: Laboratory, arguments: argparse.Namespace) -> tuple[list[Sequence[str]], list[Bar], dict[str, Any]]:
    """Rows of the table, bars and what the JSON has besides."""
    budgets = [3.0] if arguments.quick else arguments.budgets
    seeds = range(1 if arguments.quick else arguments.seeds)
    rows: list[Sequence[str]] = []
    bars: list[Bar] = []
    details: dict[str, Any] = {"winners": []}
    experiments = {"bits": laboratory.bits, "merge": laboratory.merge}
    names = [arguments.only] if arguments.only else list(experiments)
    compared = {
        (name, budget, seed): experiments[name](budget, seed)
        for name, seed, budget in itertools.product(names, seeds, budgets)
    }
    for name, budget in itertools.product(names, budgets):
        found = [compared[name, budget, seed] for seed in seeds]
        for other in found[0].others:
            theirs = [one.others[other] for one in found]
            ratios = [
                math.log(one.searched.perplexity / its.perplexity) for one, its in zip(found, theirs, strict=True)
            ]
            low, high = _interval([(one.searched, its) for one, its in zip(found, theirs, strict=True)])
            rows.append(
                (
                    name,
                    f"{budget:g}",
                    other,
                    f"{statistics.fmean(its.perplexity for its in theirs):.2f}{_accuracy(theirs)}",
                    f"{statistics.fmean(one.searched.perplexity for one in found):.2f}"
                    + _accuracy([one.searched for one in found]),
                    f"{math.exp(statistics.fmean(ratios)):.3f}",
                    f"{low:.3f}-{high:.3f}",
                )
            )
            bars.append(
                Bar(
                    f"{name} at {budget:g} bits: perplexity against {other}",
                    math.exp(statistics.fmean(ratios)),
                    at_most=1,
                )
            )
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

    def merge(self, budget: float, seed: int) -> Comparison:
        """Three experts: merge and bits together, and one after the other."""
        together = self._searched(self._joint_spec(budget, seed))
        winner = self._figures(self._evaluator(together.spec), together.best().recipe)
        together.close()
        merged = self._folder / f"merged-{seed}"
        merges = self._searched(self._merge_spec(seed))
        if not merged.exists():
            merges.best().export(merged)
        merges.close()
        after = self._searched(self._after_spec(budget, seed, merged))
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
                accuracies = [statistics.fmean(scores[skill]) for skill in SKILLS if skill in scores]
                content = {
                    "bits": costs(plan(recipe, evaluator.spec.space.checkpoints)).bits,
                    "surprise": [-math.log(score) for task in held for score in task],
                    "accuracy": statistics.fmean(accuracies) if accuracies else None,
                }
                kept.parent.mkdir(exist_ok=True)
                kept.write_text(json.dumps(content))
            content = json.loads(kept.read_text())
            self._measured[key] = Figures(content["bits"], tuple(content["surprise"]), content["accuracy"])
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

    def _joint_spec(self, budget: float, seed: int) -> dict[str, Any]:
        sources = {skill: f"{QUICKSTART.parent}/quickstart/experts/{skill}" for skill in SKILLS}
        tasks: dict[str, Any] = {}
        for skill in SKILLS:
            files = QUICKSTART.parent / "quickstart" / "tasks" / skill
            tasks[f"{skill} text"] = {"type": "perplexity", "search": f"{skill}-search.txt", "characters": 300}
            tasks[f"{HELD_OUT} {skill}"] = {"type": "perplexity", "test": f"{skill}-test.txt", "characters": 300}
            tasks[skill] = {"type": "multiple_choice", "test": f"{files}/test.jsonl"}
        return {
            "study": f"together {budget:g} seed {seed}",
            "seed": seed,
            "candidates": 12 if self._quick else MERGES + BITS_AFTER,
            "space": {
                "base": self._base,
                "sources": sources,
                "merge": {"method": "task_arithmetic", "weight": [0.0, 1.5]},
                "quantize": self._quantize(budget, "skills.txt"),
            },
            "tasks": tasks,
            "objectives": [{"minimize": "perplexity", "tasks": [f"{skill} text" for skill in SKILLS]}],
            "optimizer": OPTIMIZER,
        }

    def _merge_spec(self, seed: int) -> dict[str, Any]:
        content = self._joint_spec(0, seed)
        space = {key: value for key, value in content["space"].items() if key != "quantize"}
        candidates = 6 if self._quick else MERGES
        return {**content, "study": f"merge alone, seed {seed}", "space": space, "candidates": candidates}

    def _after_spec(self, budget: float, seed: int, merged: Path) -> dict[str, Any]:
        content = self._joint_spec(budget, seed)
        space = {
            "base": str(merged),
            "sources": {"merged": str(merged)},
            "merge": {"method": "passthrough"},
            "quantize": self._quantize(budget, "skills.txt"),
        }
        candidates = 6 if self._quick else BITS_AFTER
        return {**content, "study": f"after {budget:g} seed {seed}", "space": space, "candidates": candidates}

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
            files = QUICKSTART.parent / "quickstart" / "tasks" / skill
            for stage in ("search", "test"):
                lines = [_answered(json.loads(line)) for line in (files / f"{stage}.jsonl").read_text().splitlines()]
                self._write(f"{skill}-{stage}.txt", lines)
                skills += lines if stage == "search" else []
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


def _answered(item: Mapping[str, Any]) -> str:
    return f"{item['prompt']}{item['choices'][item['answer']]}."


def _interval(pairs: Sequence[tuple[Figures, Figures]]) -> tuple[float, float]:
    """Of the ratio of perplexities, over pieces of text: means over seeds of paired differences of surprise."""
    differences = np.mean([np.subtract(searched.surprise, other.surprise) for searched, other in pairs], axis=0)
    mean = float(differences.mean())
    half = 1.96 * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return math.exp(mean - half), math.exp(mean + half)


def _accuracy(figures: Sequence[Figures]) -> str:
    known = [one.accuracy for one in figures if one.accuracy is not None]
    return f" ({statistics.fmean(known):.1%})" if known else ""


def _details(one: Comparison) -> dict[str, Any]:
    named = {"searched": one.searched, **one.others}
    return {
        name: {"bits": figures.bits, "perplexity": figures.perplexity, "accuracy": figures.accuracy}
        for name, figures in named.items()
    }


if __name__ == "__main__":
    main()
