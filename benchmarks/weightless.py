"""A study without weights: everything about it is real but its checkpoints and its answers, which cost no time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from heterosis.core import registry
from heterosis.core.contracts import Item
from heterosis.core.estimate import Estimate
from heterosis.core.merge_space import Merge
from heterosis.core.recipe import Recipe
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.fitness.evaluator import Evaluation
from heterosis.fitness.item_sets import StagedItems
from heterosis.search.optimizers.open_proposals import Open
from heterosis.search.optimizers.random import RandomSearch

TASK, OBJECTIVE = "questions", "accuracy"
PHASES = {"merge": 0.0, "score": 0.0}


class WeightlessSpace(Space):
    """A space of one gene for each of its sources, none of which exists."""

    _layers = 2
    out_dtype = "bfloat16"

    def __init__(self, sources: int) -> None:
        names = [f"source{number}" for number in range(sources)]
        super().__init__("base", names, Merge("task_arithmetic", weight=(0.0, 1.5)))
        self.__dict__["checkpoints"] = {name: SimpleNamespace(fingerprint="0" * 64) for name in ("base", *names)}


class WeightlessEvaluator:
    """Stands in for `fitness.Evaluator`: every candidate answers every item in no time, half of them right."""

    device = "cpu"

    def __init__(self, spec: StudySpec, items: int) -> None:
        self.spec = spec
        questions = tuple(Item(f"q{number}", {"prompt": f"Question {number}?"}) for number in range(items))
        self.items = {"search": {TASK: StagedItems(SimpleNamespace(rule={}, share=True), questions)}}  # type: ignore[arg-type]
        self._scores = {TASK: tuple(float(number % 2) for number in range(items))}
        estimate = Estimate.from_scores(self._scores[TASK])
        self._measured = {TASK: estimate, OBJECTIVE: estimate}

    def asked(self, stage: str, ids: object = None) -> Mapping[str, StagedItems]:
        return self.items[stage]

    def evaluate(self, recipe: Recipe, stage: str, ids: object = None) -> Evaluation:
        return Evaluation(self._scores, self._measured, PHASES)

    def evaluate_together(self, recipes: Sequence[Recipe], stage: str, ids: object = None) -> list[Evaluation]:
        return [self.evaluate(recipe, stage) for recipe in recipes]

    def measure(self, *_: Any) -> Mapping[str, Estimate]:
        return self._measured


class RandomInGenerations(RandomSearch):
    """`random`, but for asks of a limited size: alone it proposes all that is left of the budget at once."""

    name = "random_in_generations"
    size = 20

    def _propose(self, n: int) -> list[Open]:
        return super()._propose(min(n, self.size))


@contextmanager
def random_in_generations() -> Iterator[None]:
    """Makes it a plugin for as long as the block runs."""
    load = registry.load

    def also(kind: str, name: str) -> Any:
        mine = (kind, name) == ("optimizers", RandomInGenerations.name)
        return RandomInGenerations if mine else load(kind, name)

    with patch.object(registry, "load", also):
        yield


def weightless_spec(name: str, genes: int, optimizer: str = "random") -> StudySpec:
    """A study of so many genes with one objective."""
    tasks = {TASK: TaskSpec("multiple_choice", files={"search": "none.jsonl"})}
    objective = ObjectiveSpec(OBJECTIVE, "maximize", (TASK,), OBJECTIVE)
    return StudySpec(name, WeightlessSpace(genes), tasks, (objective,), optimizer=optimizer, folder=Path())
