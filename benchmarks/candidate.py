"""Seconds per candidate (merge + load + score), here and on the usual path, side by side on SmolLM2-135M-Instruct.

    python -m benchmarks.candidate [--quick] [--json FILE]

Two experts of the quickstart are merged with new weights for every candidate, and 20 multiple-choice items are asked.
The usual path: mergekit merges in-process and writes to disk, transformers loads what it wrote, and each choice is
scored alone (prompt + choice in one forward pass). Here: the plan is written into the resident model, and all choices
are scored on token trees. Both work in bfloat16 with the same threads, one after the other, each after a candidate to
warm up, as in a search. The bar is for the quickstart's method; TIES is shown beside it.
"""

from __future__ import annotations

import logging
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from heterosis.core.checkpoints import SourceSet
from heterosis.core.executors import LiveExecutor, resident_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.plugins.tasks.multiple_choice import MultipleChoice

from .bars import Bar, finish, parser
from .experts import EXPERTS, QUICKSTART, dense_checkpoints

ITEMS_EACH = 10
METHODS: dict[str, dict[str, float]] = {"task_arithmetic": {}, "ties": {"density": 0.5}}
METHOD_OF_THE_BAR = "task_arithmetic"
PHASES = ("merge", "load", "score")
BOUND = 8.0


def main() -> None:
    arguments = parser(__doc__).parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("mergekit").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        base, experts = dense_checkpoints(Path(folder))
        here, usual = Here(base, experts), Usual(Path(folder) / "merged")
        rows: list[tuple[str, ...]] = []
        bars: list[Bar] = []
        for method in list(METHODS)[: 1 if arguments.quick else None]:
            repetitions = 2 if arguments.quick else 4
            weights = [0.4 + 0.1 * number for number in range(repetitions + 1)]
            configurations = [recipe(method, base, experts, weight) for weight in weights]
            ours = [here.evaluate(configuration) for configuration in configurations]
            theirs = [usual.evaluate(configuration, here.items) for configuration in configurations]
            check_agreement([scores for _, scores in ours], [scores for _, scores in theirs])
            times = {"here": [timed for timed, _ in ours[1:]], "usual": [timed for timed, _ in theirs[1:]]}
            ratio = median(times["usual"]) / median(times["here"])
            rows += [row(method, "usual", times["usual"], ""), row(method, "here", times["here"], f"{ratio:.1f}x")]
            if method == METHOD_OF_THE_BAR:
                bars.append(Bar(f"{method}: usual / here", ratio, BOUND))
    columns = ("method, path", *(f"{phase} s" for phase in PHASES), "candidate s", "faster")
    title = f"Seconds per candidate, {len(EXPERTS)} experts, {ITEMS_EACH * len(EXPERTS)} items (medians)"
    finish(title, columns, rows, bars, arguments.json)


def recipe(method: str, base: Path, experts: list[Path], weight: float) -> dict[str, Any]:
    """A mergekit configuration, which both paths read."""
    models = [{"model": str(expert), "parameters": {"weight": weight, **METHODS[method]}} for expert in experts]
    shared = {"merge_method": method, "base_model": str(base), "dtype": "float32", "out_dtype": "bfloat16"}
    return {**shared, "models": models}


class Here:
    """This project's path: everything stays resident."""

    def __init__(self, base: Path, experts: list[Path]) -> None:
        self._sources = SourceSet(str(base), [str(expert) for expert in experts])
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        self._live = LiveExecutor(resident_model(self._sources[str(base)], torch.bfloat16))
        self._model = TransformersModel(self._live.model, tokenizer)  # type: ignore[arg-type]
        tasks = [MultipleChoice.open(QUICKSTART.parent / f"quickstart/tasks/{name}/search.jsonl") for name in EXPERTS]
        self.items = [item for task in tasks for item in task.items[:ITEMS_EACH]]

    def evaluate(self, configuration: dict[str, Any]) -> tuple[dict[str, float], list[list[float]]]:
        clock = Clock()
        self._live.materialise(plan(Recipe.from_dict(configuration), self._sources))
        merge = clock.lap()
        scores = self._model.choice_log_likelihoods(
            [(item.data["prompt"], item.data["choices"]) for item in self.items]
        )
        return {"merge": merge, "load": 0.0, "score": clock.lap()}, scores


class Usual:
    """mergekit to disk, transformers from disk, one forward pass for each choice."""

    def __init__(self, merged: Path) -> None:
        self._merged = merged

    def evaluate(self, configuration: dict[str, Any], items: Any) -> tuple[dict[str, float], list[list[float]]]:
        shutil.rmtree(self._merged, ignore_errors=True)
        clock = Clock()
        self._merge(configuration)
        merge = clock.lap()
        model = transformers.AutoModelForCausalLM.from_pretrained(self._merged, dtype=torch.bfloat16).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(self._merged)
        load = clock.lap()
        scores = [
            [alone(model, tokenizer, item.data["prompt"], choice) for choice in item.data["choices"]] for item in items
        ]
        return {"merge": merge, "load": load, "score": clock.lap()}, scores

    def _merge(self, configuration: dict[str, Any]) -> None:
        from mergekit.config import MergeConfiguration
        from mergekit.merge import run_merge
        from mergekit.options import MergeOptions

        parsed = MergeConfiguration.model_validate(yaml.safe_load(yaml.safe_dump(configuration)))
        run_merge(parsed, str(self._merged), MergeOptions(quiet=True, write_model_card=False))


@torch.inference_mode()
def alone(model: Any, tokenizer: Any, prompt: str, choice: str) -> float:
    """Log-likelihood of one choice in a forward pass of its own."""
    start = tokenizer(prompt).input_ids
    end = tokenizer(choice, add_special_tokens=False).input_ids
    logits = model(torch.tensor([start + end])).logits[0, len(start) - 1 : -1].float()
    return float(logits.log_softmax(-1).gather(1, torch.tensor(end)[:, None]).sum())


class Clock:
    """Seconds since the last lap."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        elapsed, self._last = now - self._last, now
        return elapsed


def check_agreement(ours: list[list[list[float]]], theirs: list[list[list[float]]]) -> None:
    """Both paths must have done the same work: rounding in bfloat16 may turn a near tie, but no more."""
    pairs = [
        (mine.index(max(mine)), other.index(max(other)))
        for mine_all, other_all in zip(ours, theirs, strict=True)
        for mine, other in zip(mine_all, other_all, strict=True)
    ]
    same = sum(mine == other for mine, other in pairs)
    if same < 0.8 * len(pairs):
        raise SystemExit(
            f"the paths agree on {same} of {len(pairs)} answers only: they have not scored the same models"
        )


def seconds(times: dict[str, float]) -> float:
    return sum(times.values())


def median(timed: list[dict[str, float]]) -> float:
    return statistics.median(seconds(times) for times in timed)


def row(method: str, path: str, timed: list[dict[str, float]], faster: str) -> tuple[str, ...]:
    phases = (f"{statistics.median(times[phase] for times in timed):.2f}" for phase in PHASES)
    return (f"{method}, {path}", *phases, f"{median(timed):.2f}", faster)


if __name__ == "__main__":
    main()
