"""Seconds per candidate, one at a time and eight together, where all sources are LoRA adapters of one base.

    python -m benchmarks.population [--quick] [--json FILE]

The quickstart's base, three adapters and three tasks, with 20 items in all; for every round, eight new candidates
drawn from the quickstart's space. One at a time: each is merged into the resident model and asked. Together: the base
stays, a batch mixes the candidates' rows, and each row has its own low-rank terms. Both work in the study's dtype with
the same threads and take turns, after a round to warm up, and of each the fastest round counts. The bar is for the
quickstart's own items (some 16 tokens with their choices). Beside it are the same questions with two choices, and
behind solved ones, for what company saves (a merge per candidate, small and padded batches) it saves once, however
long the items are. Log-likelihoods are compared in float32, and responses in the study's dtype, where rounding may
turn a near tie.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import transformers
from heterosis.core.contracts import LanguageModel
from heterosis.core.executors import LiveExecutor, resident_model
from heterosis.core.genome import Genome
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.core.space import Space
from heterosis.core.study_spec import StudySpec
from heterosis.fitness.evaluator import Evaluation, Evaluator
from heterosis.fitness.item_sets import StagedItems
from heterosis.fitness.population import Population
from heterosis.fitness.transformers_model import TransformersModel

from .bars import Bar, finish, parser

QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart.yaml"
ITEMS = {"italian": 7, "indonesian": 7, "addition": 6}
CANDIDATES = 8
COMPARED = 3
BOUND = 2.0
TOLERANCE = 1e-4


class Case(NamedTuple):
    """Attributes: `choices` of each item, and `solved` items of its task before it."""

    name: str
    choices: int
    solved: int


CASES = (Case("quickstart", 4, 0), Case("two choices", 2, 0), Case("long items", 4, 8))


def main() -> None:
    arguments = parser(__doc__).parse_args()
    transformers.utils.logging.disable_progress_bar()
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES[: 1 if arguments.quick else None]:
            evaluator = Evaluator(study(Path(folder) / case.name, case))
            rounds = [Round(evaluator, seed) for seed in range(4 if arguments.quick else 8)][1:]
            ratio = fastest(rounds, "alone") / fastest(rounds, "together")
            same = statistics.mean(one.same for one in rounds)
            times = (f"{fastest(rounds, key):.3f}" for key in ("merge", "alone"))
            rows += [
                (f"{case.name}, one at a time", *times, "", ""),
                (f"{case.name}, together", "", f"{fastest(rounds, 'together'):.3f}", f"{ratio:.2f}x", f"{same:.1%}"),
            ]
            if case is CASES[0]:
                bars.append(Bar("one at a time / together", ratio, BOUND))
                bars.append(Bar(f"{TOLERANCE} / largest difference in float32", TOLERANCE / difference(evaluator), 1.0))
    columns = ("items, path", "merge s", "candidate s", "faster", "equal responses")
    title = (
        f"Seconds per candidate, {CANDIDATES} candidates of 3 adapters, {sum(ITEMS.values())} items (fastest rounds)"
    )
    finish(title, columns, rows, bars, arguments.json)


def study(folder: Path, case: Case) -> StudySpec:
    """The quickstart with fewer items, changed as the case says."""
    spec = StudySpec.from_file(QUICKSTART)
    tasks = {}
    folder.mkdir()
    for name, count in ITEMS.items():
        items = [json.loads(line) for line in (spec.folder / spec.tasks[name].files["search"]).read_text().splitlines()]
        answered = [item["prompt"] + item["choices"][item["answer"]] + ".\n" for item in items]
        for place, item in enumerate(items[:count]):
            # others for each item: what items share would be read once
            first = count + place * case.solved
            examples = (answered[(first + step) % len(items)] for step in range(case.solved))
            item["prompt"] = "".join(examples) + item["prompt"]
            answer = item["choices"].pop(item["answer"])
            item.update(choices=[answer, *item["choices"]][: case.choices], answer=0)
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(item) for item in items[:count]))
        tasks[name] = dataclasses.replace(spec.tasks[name], files={"search": str(folder / f"{name}.jsonl")})
    return dataclasses.replace(spec, tasks=tasks)


class Round:
    """Eight candidates, asked in both ways.

    Attributes:
        merge, alone, together: seconds per candidate.
        same: share of the responses on which both ways agree.
    """

    def __init__(self, evaluator: Evaluator, seed: int) -> None:
        recipes = candidates(evaluator.spec.space, seed)
        started = time.perf_counter()
        alone = [evaluator.evaluate(recipe, "search") for recipe in recipes]
        between = time.perf_counter()
        together = evaluator.evaluate_together(recipes, "search")
        self.together = (time.perf_counter() - between) / len(recipes)
        self.alone = (between - started) / len(recipes)
        self.merge = statistics.median(evaluation.seconds["merge"] for evaluation in alone)
        self.same = statistics.mean(equal(one, other) for one, other in zip(alone, together, strict=True))


def candidates(space: Space, seed: int) -> list[Recipe]:
    random = np.random.default_rng(seed)
    genomes = ({gene.name: float(random.uniform(0.0, 1.5)) for gene in space.genes} for _ in range(CANDIDATES))
    return [space.decode(Genome(genome)) for genome in genomes]


def equal(alone: Evaluation, together: Evaluation | None) -> float:
    if together is None:
        raise SystemExit("a candidate was not evaluated together with the others")
    pairs = [
        (one, other)
        for task in alone.scores
        for one, other in zip(alone.scores[task], together.scores[task], strict=True)
    ]
    return sum(one == other for one, other in pairs) / len(pairs)


def fastest(rounds: Sequence[Round], name: str) -> float:
    return min(float(getattr(one, name)) for one in rounds)


class Float32Space(Space):
    """A space whose models are built in float32, whatever the base is stored in."""

    out_dtype = "float32"


def difference(evaluator: Evaluator) -> float:
    """The largest difference of a log-likelihood in float32, relative to those above 1, for some candidates."""
    own = evaluator.spec.space
    space = Float32Space.from_dict(own.to_dict(), own.relative_to)
    checkpoint = space.checkpoints[space.base]
    live = LiveExecutor(resident_model(checkpoint, torch.float32))
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.directory)
    model = TransformersModel(live.model, tokenizer)  # type: ignore[arg-type]
    recipes, items = candidates(space, 0)[:COMPARED], evaluator.items["search"]
    together = Population(space, lambda: (live, model)).ask(recipes, items, log_likelihoods)
    differences = []
    for number, recipe in enumerate(recipes):
        live.materialise(plan(recipe, space.checkpoints))
        for name, group in items.items():
            alone = np.array(log_likelihoods(name, group, model))
            apart = np.abs(alone - np.array(together[number].scores[name])) / np.maximum(np.abs(alone), 1)
            differences.append(float(apart.max()))
    return max(differences)


def log_likelihoods(_name: str, group: StagedItems, model: LanguageModel) -> tuple[float, ...]:
    """In the place of scores, the log-likelihood of every choice."""
    asked = [(item.data["prompt"], item.data["choices"]) for item in group.items]
    return tuple(np.concatenate(model.choice_log_likelihoods(asked)).tolist())


if __name__ == "__main__":
    main()
