"""The evaluator: builds a candidate in the resident model, asks it a stage's items, and measures the objectives."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeAlias

import torch
from transformers import AutoTokenizer

from ..core import registry
from ..core.contracts import LanguageModel, Measured, Objective
from ..core.errors import CheckpointError, ConfigurationError, EvaluationError, did_you_mean
from ..core.estimate import Estimate
from ..core.executors import LiveExecutor, costs, resident_model
from ..core.executors.one_by_one import tensors_of
from ..core.executors.tensor_store import TensorStore
from ..core.plan import Plan, plan
from ..core.recipe import Recipe, torch_dtype
from ..core.seeds import derived_seed
from ..core.stage import STAGES, Stage
from ..core.study_spec import StudySpec
from .candidate_engine import check_engine, run_candidate, target_name, uses_engine
from .device_memory import peak_bytes, reset_peak, with_less_memory
from .engine_figures import EngineFigures
from .item_sets import StagedItems, load_items
from .population import Population
from .prefix_reuse import PrefixReuse
from .references import MERGE, prepare_references, reference_recipe
from .transformers_model import TransformersModel

ItemIds: TypeAlias = Mapping[str, Sequence[str]]
"""By task, the ids of items."""


@dataclass(frozen=True)
class Evaluation:
    """What came of evaluating a candidate at a stage.

    Attributes:
        scores: for each task, one response in [0, 1] for each of the items asked, in order.
        measured: the tasks' own figures and the objectives', by name and label; empty if only some items were asked.
        seconds: wall-clock seconds to `merge` (build the candidate, ask what it is compared with), to `score` it, and
            to run it in its `engine`, where it was.
        peak_bytes: the most device memory that it took, where the device tells.
        engine: the `format` that it was run in and what was measured there, JSON-ready, where an objective asks for it.
    """

    scores: Mapping[str, tuple[float, ...]]
    measured: Mapping[str, Estimate]
    seconds: Mapping[str, float]
    peak_bytes: int | None = None
    engine: Mapping[str, float | str] | None = None


class Evaluator:
    """Evaluates a study's candidates on one device, alone or together; the model stays resident between them.

    Attributes:
        items: for each stage, the tasks that have items there, by name.
        progressed: called while a candidate is scored, with the share of its items that are, in [0, 1].

    Raises:
        ConfigurationError: a task's files cannot be used, or an objective's engine is not there.
    """

    progressed: Callable[[float], None]

    def __init__(self, spec: StudySpec, device: torch.device | str = "cpu") -> None:
        self.spec = spec
        self.device = device
        self.progressed = lambda _share: None
        deal = derived_seed(spec.seed, "items")
        staged = {name: load_items(name, task, spec.folder, deal) for name, task in spec.tasks.items()}
        self.items: Mapping[Stage, Mapping[str, StagedItems]] = {
            stage: {name: groups[stage] for name, groups in staged.items() if stage in groups} for stage in STAGES
        }
        self._check_references()
        self._check_screen()
        check_engine(spec)

    def asked(self, stage: Stage, ids: ItemIds | None) -> Mapping[str, StagedItems]:
        """By task, the stage's items with these ids, or all of them.

        Raises:
            ConfigurationError: the stage has no such task or item.
        """
        staged = self.items[stage]
        if ids is None:
            return staged
        for name in ids:
            if name not in staged:
                raise ConfigurationError(f"no {stage} items of the task {name!r}. {did_you_mean(name, staged)}")
        return {name: staged[name].take(of_task) for name, of_task in ids.items()}

    def compared(self, recipe: Recipe, stage: Stage, ids: ItemIds | None = None) -> dict[str, Recipe]:
        """How the models are built that a candidate is compared with, by the tasks that do.

        Raises:
            ConfigurationError: the space has no such reference.
        """
        return {
            name: reference_recipe(group.task.reference, recipe, self.spec.space)
            for name, group in self.asked(stage, ids).items()
            if group.task.reference is not None
        }

    @property
    def computes_together(self) -> bool:
        """Whether candidates of this study may be computed in the same forward passes."""
        return self._population.has_adapters

    def evaluate(self, recipe: Recipe, stage: Stage, ids: ItemIds | None = None) -> Evaluation:
        """Builds the model that `recipe` describes and asks it the stage's items.

        Args:
            ids: by task, those of the items to ask; default: all, and then it is measured too.

        Raises:
            MaterialiseError: the weights are not finite.
            EvaluationError: the scores are not finite, or a task broke its contract.
        """
        started = time.perf_counter()
        planned, asked = plan(recipe, self.spec.space.checkpoints), self.asked(stage, ids)
        prepare_references(recipe, asked, self.spec.space, self._live, self._model)
        self._live.materialise(planned)
        merged = time.perf_counter()
        scores = self._scores(asked)
        seconds = {"merge": merged - started, "score": time.perf_counter() - merged}
        peak = peak_bytes(self._model.model.device)
        return self._completed(Evaluation(scores, {}, seconds, peak), recipe, stage, ids, planned)

    def evaluate_known(
        self, recipe: Recipe, stage: Stage, scores: Mapping[str, tuple[float, ...]], ids: ItemIds | None = None
    ) -> Evaluation:
        """As `evaluate`, of a candidate whose responses to these items are known."""
        return self._completed(Evaluation(scores, {}, {}), recipe, stage, ids)

    def evaluate_together(
        self, recipes: Sequence[Recipe], stage: Stage, ids: ItemIds | None = None
    ) -> list[Evaluation | None]:
        """Evaluates, in the same forward passes, the models that are the base plus low-rank changes.

        Args:
            ids: as for `evaluate`; the same items for all.

        Returns:
            For each recipe what came of it; None where it must be evaluated alone, because it is another kind of model
            or failed in company: nobody fails for another's sake.
        """
        started = time.perf_counter()
        asked = self._population.ask(recipes, self.asked(stage, ids), self._score)
        seconds = {"merge": 0.0, "score": (time.perf_counter() - started) / max(len(asked), 1)}
        evaluations: list[Evaluation | None] = [None] * len(recipes)
        for number, (planned, scores) in asked.items():
            with suppress(Exception):  # measured again alone, it fails with its own reason
                found = Evaluation(scores, {}, seconds)
                evaluations[number] = self._completed(found, recipes[number], stage, ids, planned)
        return evaluations

    def log_likelihoods(self, recipe: Recipe, texts: Sequence[str]) -> list[float]:
        """Builds the model that `recipe` describes; log P of each text (natural, after its first token).

        Raises:
            MaterialiseError: the weights are not finite.
            EvaluationError: a text is empty or too long, or a figure is not finite.
        """
        self._live.materialise(plan(recipe, self.spec.space.checkpoints))
        return [figure for figure, _ in self._model.text_log_likelihoods(texts)]

    def measure(
        self,
        recipe: Recipe,
        stage: Stage,
        scores: Mapping[str, tuple[float, ...]],
        planned: Plan | None = None,
        engine: EngineFigures | None = None,
    ) -> dict[str, Estimate]:
        """The tasks' own figures of scores on all of a stage's items, and what `measure_estimates` makes of them."""
        estimates = {name: group.task.summarise(group.items, scores[name]) for name, group in self.items[stage].items()}
        return self.measure_estimates(recipe, estimates, planned, engine)

    def measure_estimates(
        self,
        recipe: Recipe,
        estimates: Mapping[str, Estimate],
        planned: Plan | None = None,
        engine: EngineFigures | None = None,
    ) -> dict[str, Estimate]:
        """Tasks' figures, and those objectives whose tasks are all among them.

        Args:
            planned: the recipe's plan, if there is one already.
            engine: what was measured of it there, if an objective asks for that.

        Raises:
            EvaluationError: a figure is not finite.
        """
        built = planned or plan(recipe, self.spec.space.checkpoints)
        cost, ran = costs(built), {} if engine is None else engine.estimates
        tensors = partial(tensors_of, built, self._store)
        measured = dict(estimates)
        for objective in (*self.spec.objectives, *self.spec.watch):
            if all(task in estimates for task in objective.tasks):
                plugin: Objective = registry.load("objectives", objective.name)()
                needed = {task: estimates[task] for task in objective.tasks}
                measured[objective.label] = plugin.measure(Measured(recipe, cost, needed, ran, tensors))
        for label, estimate in measured.items():
            if not math.isfinite(estimate.mean):
                raise EvaluationError(f"{label} is {estimate.mean}")
        return measured

    def _completed(
        self, found: Evaluation, recipe: Recipe, stage: Stage, ids: ItemIds | None, planned: Plan | None = None
    ) -> Evaluation:
        """With everything that is measured of a candidate that was asked all items; as it is if it was not."""
        if ids is not None:
            return found
        planned = planned or plan(recipe, self.spec.space.checkpoints)
        if not uses_engine(self.spec):
            return replace(found, measured=self.measure(recipe, stage, found.scores, planned))
        started = time.perf_counter()
        engine = run_candidate(planned, self.spec.space)
        seconds = {**found.seconds, "engine": time.perf_counter() - started}
        measured = self.measure(recipe, stage, found.scores, planned, engine)
        noted: dict[str, float | str] = {"format": target_name(self.spec.space), **engine.to_dict()}
        return replace(found, measured=measured, seconds=seconds, engine=noted)

    def _scores(self, asked: Mapping[str, StagedItems]) -> dict[str, tuple[float, ...]]:
        reset_peak(self._model.model.device)
        whole = sum(len(group.items) for group in asked.values()) or 1
        done = 0
        scores = {}
        for name, group in asked.items():
            self._model.answered = partial(self._answered, done / whole, len(group.items) / whole)
            work = partial(self._score, name, group, self._model)
            scores[name] = with_less_memory(work, self._model.halve_batch)
            done += len(group.items)
            self.progressed(done / whole)
        return scores

    def _answered(self, before: float, share: float, part: float) -> None:
        self.progressed(before + share * part)

    def _score(self, name: str, group: StagedItems, model: LanguageModel) -> tuple[float, ...]:
        scores = tuple(float(score) for score in group.task.score(model, group.items))
        if len(scores) != len(group.items):
            raise EvaluationError(f"task {name!r} gave {len(scores)} scores for {len(group.items)} items")
        for item, score in zip(group.items, scores, strict=True):
            if not 0.0 <= score <= 1.0:
                raise EvaluationError(f"task {name!r} scored item {item.id!r} {score}; a score is between 0 and 1")
        return scores

    def _check_references(self) -> None:
        known = [MERGE, "base", *self.spec.space.labelled]
        for groups in self.items.values():
            for name, group in groups.items():
                if (reference := group.task.reference) is not None and reference not in known:
                    raise ConfigurationError(
                        f"task {name!r}: unknown reference {reference!r}. {did_you_mean(reference, known)}"
                    )

    def _check_screen(self) -> None:
        screen = self.spec.screen
        if screen is None:
            return
        group = self.items["search"].get(screen.task)
        found = 0 if group is None else len(group.items)
        if screen.items > found:
            raise ConfigurationError(
                f"screen: {screen.items} items of the task {screen.task!r} are to be asked first, and there are "
                f"{found} for the search; ask fewer"
            )

    @cached_property
    def _live(self) -> LiveExecutor:
        space = self.spec.space
        base = space.checkpoints[space.base]
        model = resident_model(base, torch_dtype(space.out_dtype), self.device)
        return LiveExecutor(model, self._store)

    @cached_property
    def _store(self) -> TensorStore | None:
        return TensorStore.from_environment()

    @cached_property
    def _population(self) -> Population:
        return Population(self.spec.space, lambda: (self._live, self._model))

    @cached_property
    def _model(self) -> TransformersModel:
        space = self.spec.space
        directory = space.checkpoints[space.base].directory
        try:
            tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        except (ValueError, OSError) as error:
            raise CheckpointError(f"the tokenizer of {space.base} does not load: {error}") from error
        live = self._live
        model = TransformersModel(live.model, tokenizer)  # type: ignore[arg-type]
        model.prefixes = PrefixReuse(model.model, lambda: live.plan)
        return model
