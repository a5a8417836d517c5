"""Scores that are estimated: candidates race on few search items; sources and elites answer all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import numpy as np

from ..core.contracts import Executor
from ..core.contracts.estimator import Matrix, Places
from ..core.errors import ConfigurationError, EvaluationError, StorageError
from ..core.estimate import Estimate
from ..core.recipe import Recipe
from ..core.study_spec import StudySpec
from ..fitness.evaluator import Evaluator
from ..fitness.learner import Learner
from ..fitness.panel import Standing
from ..fitness.racing import Race, RaceRule
from ..storage import CHECK_PART, LATER_PARTS, REST_PART, RETEST_PART, CandidateRecord, Store, ToldRecord
from .aims import aims_of
from .asking import Asking, ItemIds, count
from .drift_watch import DriftWatch
from .elites import Elites
from .estimator_choice import imported_responses
from .eval_keys import EvaluationKeys
from .progress import Evaluated
from .ranking import values_of
from .scoring import Scoring, proposed_first

CHECKED = 3
"""So many times the finalists are asked further items before the finalists are chosen among them."""


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
        self._evaluator = evaluator
        self._groups = evaluator.items["search"]
        shared = {name: group for name, group in self._groups.items() if group.task.share}
        self._whole = {
            name: tuple(item.id for item in group.items) for name, group in self._groups.items() if name not in shared
        }
        self._items = {name: tuple(item.id for item in group.items) for name, group in shared.items()}
        imported = imported_responses(spec, self._items)
        self._learner = Learner(spec.fitness, self._items, aims_of(spec, self._items), imported, spec.seed)
        self._asking = Asking(study_id, store, executor, keys, self._items)
        self._rule = RaceRule(spec.fitness.first, spec.fitness.most)
        size = sum(len(ids) for ids in self._items.values())
        self._elites = Elites(spec.fitness.elites, size, spec.objectives[0].direction)
        self._watch = DriftWatch(study_id, store)

    def key(self, recipe: Recipe) -> None:
        """None: which items a candidate is asked is decided when it races."""

    def begin(self, evaluated: Evaluated) -> None:
        """The sources answer every item."""
        references = self._spec.space.references()
        sources = []
        for label in self._spec.space.labelled:
            recipe = references[label]
            sources.append(self._store.candidates.add_reference(self._study_id, label, recipe.to_dict(), recipe.hash))
        self._asking.ask(0, [(source, None) for source in sources], evaluated)
        for source in sources:
            answers = self._asking.answers(source)
            if answers:  # one that failed has none
                self._learner.add_source(answers)

    def score(
        self, ask_no: int, candidates: Sequence[CandidateRecord], evaluated: Evaluated
    ) -> list[ToldRecord | None]:
        """Races those that are new in this ask; see `Scoring`."""
        new = proposed_first(ask_no, candidates)
        # one lot for all: they compare on the same items, and are computed in company; the next ask has others
        lots = [ask_no] * len(new)
        race = Race(self._learner.panel, len(new), self._rule, self._exact(new), lots)
        part = 0
        while asked := race.ask():
            items = {number: self._asking.ids(race.panel.by_task(places)) for number, places in asked.items()}
            if part == 0:
                items = {number: {**ids, **self._whole} for number, ids in items.items()}
            self._asking.ask(part, [(new[number], ids) for number, ids in items.items()], evaluated)
            race.tell({number: self._responses(new[number], places) for number, places in asked.items()})
            part += 1
        self._watch.note(ask_no, race)
        standing = race.scores()
        for number, candidate in enumerate(new):
            if not race.failed[number]:
                self._record(candidate, partial(self._measured, candidate, number, standing))
        evaluated()
        found = self._store.candidates.several([candidate.id for candidate in candidates])
        return [self._told(found[candidate.id]) for candidate in candidates]

    def settle(
        self,
        ask_no: int,
        candidates: Sequence[CandidateRecord],
        told: Sequence[ToldRecord | None],
        evaluated: Evaluated,
    ) -> None:
        """Lets the best candidate that has not yet answer every item, if there is budget for it; see `Scoring`.

        Where random items do not come out as the estimates foresee, budget or not: the next ask learns from it.
        """
        new = proposed_first(ask_no, candidates)
        known = {candidate.id: value for candidate, value in zip(candidates, told, strict=True)}
        parts = [
            part for candidate in new for part in self._asking.parts(candidate).values() if part.part < LATER_PARTS
        ]
        self._elites.raced(sum(map(count, parts)), new, [known[candidate.id] for candidate in new])
        elite = self._elites.next(at_once=self._watch.alarm(ask_no))
        if elite is not None:
            self._learn_from(elite, evaluated)

    def finish(self, evaluated: Evaluated) -> None:
        """Asks the best ones further items: a race is also won by luck, and lost in the best of company."""
        panel = self._learner.panel
        again = self._elites.best(CHECKED * self._spec.finalists)
        for candidate in again:
            known = self._asking.parts(candidate).get(RETEST_PART)
            if known is not None and known.items is not None:
                items: ItemIds = known.items
            else:
                row = self._asking.row(candidate)[None]
                (places,) = panel.next_items(row, self._rule.most, [RETEST_PART])
                items = self._asking.ids(panel.by_task(places))
            if items:
                self._asking.ask(RETEST_PART, [(candidate, items)], evaluated)
        if again:
            standing = panel.estimate(np.stack([self._asking.row(candidate) for candidate in again]))
            for number, candidate in enumerate(again):
                self._record(candidate, partial(self._measured, candidate, number, standing))

    def check(self, candidate: CandidateRecord, evaluated: Evaluated) -> None:
        """Asks a candidate of an ask that is over what it was not asked; the search does not look at the answers."""
        self._ask_rest(candidate, CHECK_PART, evaluated)

    def _ask_rest(self, candidate: CandidateRecord, part: int, evaluated: Evaluated) -> None:
        """Asks it, as this part, all that it was not asked otherwise."""
        parts = self._asking.parts(candidate)
        if part in parts:
            rest: ItemIds = parts[part].items or {}
        else:
            others = [other.items or {} for other in parts.values() if other.part != CHECK_PART]
            asked = {(task, id_) for items in others for task, ids in items.items() for id_ in ids}
            rest = {
                task: left
                for task, ids in self._items.items()
                if (left := tuple(id_ for id_ in ids if (task, id_) not in asked))
            }
        if rest:
            self._asking.ask(part, [(candidate, rest)], evaluated)

    def _learn_from(self, elite: CandidateRecord, evaluated: Evaluated) -> None:
        self._ask_rest(elite, REST_PART, evaluated)
        answers = self._asking.answers(elite)
        if all(len(answers.get(task, ())) == len(ids) for task, ids in self._items.items()):
            self._learner.add(answers)
            self._watch.learned()
            scores = {
                task: tuple(answers[task][item.id] for item in group.items) for task, group in self._groups.items()
            }
            recipe = Recipe.from_dict(elite.recipe)
            self._record(elite, lambda: self._evaluator.measure(recipe, "search", scores))

    def _responses(self, candidate: CandidateRecord, places: Places) -> Matrix | None:
        """What it answered to the items at these places of the pool; None if it failed."""
        if self._store.candidates.get(candidate.id).state == "failed":
            return None
        row: Matrix = self._asking.row(candidate)[places]
        return row

    def _exact(self, candidates: Sequence[CandidateRecord]) -> Matrix:
        """Shape (candidates, k): the objectives that need no answers, larger is better; 0 where there is none."""
        exact = [objective for objective in self._spec.objectives if not objective.tasks]
        found = np.zeros((len(candidates), len(exact)))
        for number, candidate in enumerate(candidates if exact else ()):
            with suppress(Exception):  # it fails again when it is measured, and then with its reason
                measured = self._evaluator.measure_estimates(Recipe.from_dict(candidate.recipe), {})
                signs = [1.0 if objective.direction == "maximize" else -1.0 for objective in exact]
                found[number] = [
                    sign * measured[objective.label].mean for sign, objective in zip(signs, exact, strict=True)
                ]
        return found

    def _measured(self, candidate: CandidateRecord, number: int, standing: Standing) -> Mapping[str, Estimate]:
        answers = self._asking.answers(candidate)
        estimates = {}
        for task, group in self._groups.items():
            seen = len(answers.get(task, ()))
            if seen == len(group.items):
                scores = [answers[task][item.id] for item in group.items]
                estimates[task] = group.task.summarise(group.items, scores)
            else:
                found = standing.tasks[task]
                mean, error = float(found.mean[number]), float(found.standard_error[number])
                estimates[task] = Estimate(mean, error, max(seen, 1))
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
