"""Scores that are estimated: candidates race on few search items; sources and elites answer all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import numpy as np

from ..core.contracts import Executor
from ..core.contracts.estimator import Matrix, Places
from ..core.errors import ConfigurationError, EvaluationError, OptimizerError, StorageError
from ..core.estimate import Estimate
from ..core.fitness_spec import FULL
from ..core.recipe import Recipe
from ..core.study_spec import StudySpec
from ..fitness.evaluator import Evaluator
from ..fitness.learner import Learner
from ..fitness.panel import Aim, Standing
from ..fitness.racing import Race, RaceRule
from ..storage import REST_PART, CandidateRecord, EvaluationRecord, Store, ToldRecord
from .candidate import name_of
from .elites import Elites
from .eval_keys import EvaluationKeys
from .ranking import values_of
from .scoring import Scoring

ItemIds = dict[str, tuple[str, ...]]


class EstimatedScoring(Scoring):
    """The candidates of an ask race on common items; what they did not answer is estimated.

    Estimates are learned from models that answered every item: the sources first, then elites, as often as the budget
    for them allows. Tasks whose figure is no mean of responses (perplexity) are asked in full.

    Raises:
        ConfigurationError: no objective is a mean of responses, or a file of references cannot be used.
    """

    def __init__(
        self,
        spec: StudySpec,
        study_id: str,
        store: Store,
        executor: Executor,
        keys: EvaluationKeys,
        evaluator: Evaluator,
    ) -> None:
        assert spec.fitness is not None
        self._spec = spec
        self._study_id = study_id
        self._store = store
        self._executor = executor
        self._keys = keys
        self._evaluator = evaluator
        self._groups = evaluator.items["search"]
        shared = {name: group for name, group in self._groups.items() if group.task.share}
        self._whole: ItemIds = {
            name: tuple(item.id for item in group.items) for name, group in self._groups.items() if name not in shared
        }
        items = {name: tuple(item.id for item in group.items) for name, group in shared.items()}
        self._learner = Learner(spec.fitness, items, _aims(spec, items), {}, spec.seed)
        self._rule = RaceRule(spec.fitness.first, spec.fitness.most)
        size = sum(len(ids) for ids in items.values())
        self._elites = Elites(spec.fitness.elites, size, spec.objectives[0].direction)

    def key(self, recipe: Recipe) -> None:
        """None: which items a candidate is asked is decided when it races."""

    def begin(self, evaluated: Callable[[], None]) -> None:
        """The sources answer every item."""
        references = self._spec.space.references()
        sources = []
        for label in self._spec.space.labelled:
            recipe = references[label]
            sources.append(self._store.candidates.add_reference(self._study_id, label, recipe.to_dict(), recipe.hash))
        self._run(
            [
                self._store.queue.ensure(source.id, "search", self._keys.key(Recipe.from_dict(source.recipe), "search"))
                for source in sources
            ],
            evaluated,
        )
        for source in sources:
            answers = self._answers(source)
            if answers:  # one that failed has none
                self._learner.add_source(answers)

    def score(
        self, ask_no: int, candidates: Sequence[CandidateRecord], evaluated: Callable[[], None]
    ) -> list[ToldRecord | None]:
        """Races those that are new in this ask; see `Scoring`."""
        new = _new(ask_no, candidates)
        race = Race(self._learner.panel, len(new), self._rule)
        part = 0
        while asked := race.ask():
            items = {number: self._item_ids(race.panel.by_task(places), part) for number, places in asked.items()}
            self._run([self._queued(new[number], part, items[number]) for number in asked], evaluated)
            race.tell({number: self._responses(new[number], places) for number, places in asked.items()})
            part += 1
        self._measure(new, race)
        evaluated()
        return [self._told(self._store.candidates.get(candidate.id)) for candidate in candidates]

    def settle(
        self,
        ask_no: int,
        candidates: Sequence[CandidateRecord],
        told: Sequence[ToldRecord | None],
        evaluated: Callable[[], None],
    ) -> None:
        """Lets the best candidate that has not yet answer every item, if there is budget for it; see `Scoring`."""
        new = {candidate.id for candidate in _new(ask_no, candidates)}
        parts = self._store.queue.parts(self._study_id, "search")
        asked = sum(
            len(ids)
            for candidate_id in new
            for evaluation in parts.get(candidate_id, ())
            if evaluation.part != REST_PART
            for ids in (evaluation.items or {}).values()
        )
        known = [pair for pair in zip(candidates, told, strict=True) if pair[0].id in new]
        self._elites.raced(asked, [candidate for candidate, _ in known], [value for _, value in known])
        elite = self._elites.next()
        if elite is not None:
            self._ask_rest(elite, evaluated)

    def _ask_rest(self, elite: CandidateRecord, evaluated: Callable[[], None]) -> None:
        parts = self._store.queue.parts(self._study_id, "search")[elite.id]
        asked = {
            (task, id_)
            for part in parts
            if part.part != REST_PART
            for task, ids in (part.items or {}).items()
            for id_ in ids
        }
        rest = {
            task: left
            for task, ids in self._learner.items.items()
            if (left := tuple(id_ for id_ in ids if (task, id_) not in asked))
        }
        if rest:
            self._run([self._queued(elite, REST_PART, rest)], evaluated)
        answers = self._answers(elite)
        if all(len(answers.get(task, ())) == len(ids) for task, ids in self._learner.items.items()):
            self._learner.add(answers)
            scores = {
                task: tuple(answers[task][item.id] for item in group.items) for task, group in self._groups.items()
            }
            recipe = Recipe.from_dict(elite.recipe)
            self._record(elite, lambda: self._evaluator.measure(recipe, "search", scores))

    def _run(self, evaluations: Sequence[EvaluationRecord], evaluated: Callable[[], None]) -> None:
        for _ in self._executor.run([evaluation.id for evaluation in evaluations]):
            evaluated()

    def _queued(self, candidate: CandidateRecord, part: int, items: ItemIds) -> EvaluationRecord:
        key = self._keys.key(Recipe.from_dict(candidate.recipe), "search", items)
        evaluation = self._store.queue.ensure(candidate.id, "search", key, part, items)
        if evaluation.items != items:
            raise OptimizerError(
                f"replayed, {name_of(candidate)} would be asked other items than are recorded: an installed version "
                "has changed since. Install the recorded versions (`heterosis status` lists them), or start a new study"
            )
        return evaluation

    def _item_ids(self, places: Mapping[str, Places], part: int) -> ItemIds:
        chosen = {
            task: tuple(self._learner.items[task][place] for place in of_task) for task, of_task in places.items()
        }
        return {**chosen, **self._whole} if part == 0 else chosen

    def _answers(self, candidate: CandidateRecord) -> dict[str, dict[str, float]]:
        found = self._store.results.responses(candidate.id, "search")
        return {
            task: dict(zip(responses.item_set.item_ids, responses.scores, strict=True))
            for task, responses in found.items()
        }

    def _responses(self, candidate: CandidateRecord, places: Places) -> Matrix | None:
        """What it answered to the items at these places of the pool; None if it failed."""
        if self._store.candidates.get(candidate.id).state == "failed":
            return None
        answers = self._answers(candidate)
        pool = [self._learner.row(task, answers.get(task, {})) for task in self._learner.items]
        row: Matrix = np.concatenate(pool)[places]
        return row

    def _measure(self, new: Sequence[CandidateRecord], race: Race) -> None:
        standing = race.scores()
        for number, candidate in enumerate(new):
            if not race.failed[number]:
                self._record(candidate, partial(self._measured, candidate, number, race, standing))

    def _measured(
        self, candidate: CandidateRecord, number: int, race: Race, standing: Standing
    ) -> Mapping[str, Estimate]:
        answers = self._answers(candidate)
        estimates = {}
        for task, group in self._groups.items():
            count = len(answers[task]) if task in answers else 0
            if count == len(group.items):
                scores = [answers[task][item.id] for item in group.items]
                estimates[task] = group.task.summarise(group.items, scores)
            else:
                found = standing.tasks[task]
                mean, error = float(found.mean[number]), float(found.standard_error[number])
                estimates[task] = Estimate(mean, error, max(count, 1))
        return self._evaluator.measure_estimates(Recipe.from_dict(candidate.recipe), estimates)

    def _record(self, candidate: CandidateRecord, measure: Callable[[], Mapping[str, Estimate]]) -> None:
        """Writes what was measured, unless it is known; whatever goes wrong fails the candidate alone."""
        try:
            measured = measure()
        except (ConfigurationError, StorageError):
            raise
        except Exception as error:  # an objective may fail in any way; the study goes on
            kind = "scores" if isinstance(error, EvaluationError) else "plugin"
            self._store.candidates.fail(candidate.id, f"{kind}: {error if kind == 'scores' else repr(error)}")
            return
        if self._store.candidates.get(candidate.id).measurements.get("search") != measured:
            self._store.results.measure(candidate.id, "search", measured)

    def _told(self, candidate: CandidateRecord) -> ToldRecord | None:
        values = values_of(candidate, self._spec.objectives)
        if values is None or candidate.state == "failed":
            return None
        figures = candidate.measurements["search"]
        return ToldRecord(values, tuple(figures[objective.label].standard_error for objective in self._spec.objectives))


def _new(ask_no: int, candidates: Sequence[CandidateRecord]) -> list[CandidateRecord]:
    """Those that this ask proposed first, each once."""
    return list({candidate.id: candidate for candidate in candidates if candidate.ask_no == ask_no}.values())


def _aims(spec: StudySpec, tasks: Collection[str]) -> list[Aim]:
    """The objectives that are means of responses to these tasks."""
    found = [
        Aim(objective.tasks, 1 if objective.direction == "maximize" else -1)
        for objective in spec.objectives
        if objective.label in spec.shares and objective.tasks and set(objective.tasks) <= set(tasks)
    ]
    if not found:
        raise ConfigurationError(
            "fitness: no objective is a share of right answers (such as `accuracy`), so there is nothing to estimate "
            f"from few items. Remove `fitness`, or write `fitness: {FULL}`"
        )
    return found
