"""The report on a study's estimates: what they cost, what they are learned from, and how good they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.estimate import Estimate
from ..core.fitness_spec import FitnessSpec
from ..core.study_spec import ObjectiveSpec, StudySpec
from ..fitness.drift import Drift
from ..storage import CHECK_PART, REST_PART, RETEST_PART, AskRecord, CandidateRecord, Store, ToldRecord
from .agreement import Agreement, Comparison, kendall
from .aims import estimated
from .drift_watch import drift_so_far
from .estimator_choice import Choice, choices
from .search_items import SearchItems


@dataclass(frozen=True)
class Generation:
    """The last ask that the optimizer was told of.

    Attributes:
        number: of the ask, from 0.
        candidates: how many different ones it has, without those that failed.
        known: how many of them have answered every item.
        kendall: by objective, the rank correlation (tau-b) of what was told and full scores, over those that are known;
            None with fewer than five.
    """

    number: int
    candidates: int
    known: int
    kendall: Mapping[str, float | None]


@dataclass(frozen=True)
class FitnessReport:
    """How a study's candidates were scored on its search items.

    Attributes:
        study: its name.
        fitness: its settings; None where nothing is estimated: candidates are asked every item, or screened before.
        items: how many search items there are.
        asked: by number of the candidate, how many items it was asked in its race (where nothing is estimated: in all).
        sources, elites: how many models have answered everything: those that are merged, and the best candidates.
        imported: by task, how many other models' responses came from a file.
        of_sources, of_elites: how many items they were asked for that.
        of_retests: how many items the best were asked when the search was over.
        checked: how many items candidates were asked to check the estimates; the search knows nothing of the answers.
        choices: by task, the estimator that would be used now.
        agreements: estimates beside full scores, for each objective that is estimated.
        generation: how well the last one is ranked; None before the first.
        drift: how far the responses to random items are from what was predicted, over all races; None without any.
    """

    study: str
    fitness: FitnessSpec | None
    items: int
    asked: Mapping[int, int]
    sources: int
    elites: int
    imported: Mapping[str, int]
    of_sources: int
    of_elites: int
    of_retests: int
    checked: int
    choices: Mapping[str, Choice]
    agreements: tuple[Agreement, ...]
    generation: Generation | None
    drift: Drift | None = None

    @property
    def screened_out(self) -> int:
        """How many candidates were asked few items and no more, where nothing is estimated."""
        return len(self.asked) - self.elites if self.fitness is None else 0

    @property
    def in_all(self) -> int:
        """Items that the search has asked."""
        return sum(self.asked.values()) + self.of_sources + self.of_elites + self.of_retests

    @property
    def full(self) -> int:
        """Items that it would have asked if every candidate answered every one."""
        return len(self.asked) * self.items

    @property
    def speed_up(self) -> float | None:
        """How many times fewer items were asked, whatever they were asked for; None before the first."""
        return self.full / self.in_all if self.in_all and self.full else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        asked = list(self.asked.values())
        generation = self.generation
        return {
            "study": self.study,
            "fitness": self.fitness.to_dict() if self.fitness else None,
            "items": self.items,
            "candidates": len(asked),
            "asked": {
                "mean": sum(asked) / len(asked) if asked else None,
                "least": min(asked, default=None),
                "most": max(asked, default=None),
                "candidates": sum(asked),
                "elites": self.of_elites,
                "sources": self.of_sources,
                "retests": self.of_retests,
                "in_all": self.in_all,
                "full": self.full,
                "checked": self.checked,
            },
            "speed_up": self.speed_up,
            "answered_everything": {
                "sources": self.sources,
                "elites": self.elites,
                "imported": dict(self.imported),
            },
            "estimators": {
                task: {"choice": choice.name, "reasons": list(choice.reasons)} for task, choice in self.choices.items()
            },
            "agreement": [agreement.to_dict() for agreement in self.agreements],
            "random_items": None
            if self.drift is None
            else {
                "answers": self.drift.answers,
                "difference_points": 100 * self.drift.difference,
                "z": self.drift.z,
            },
            "last_generation": None
            if generation is None
            else {
                "ask": generation.number,
                "candidates": generation.candidates,
                "known": generation.known,
                "kendall": dict(generation.kendall),
            },
        }


def fitness_report(spec: StudySpec, study_id: str, store: Store) -> FitnessReport:
    """Reads the report from the database; no model is loaded.

    Raises:
        ConfigurationError: a file of references cannot be used.
        PluginError: a plugin of the study is not installed.
    """
    items = SearchItems(store, study_id)
    records = store.candidates.all(study_id)
    asks = store.asks.all(study_id)
    bred = [record for record in records if record.kind == "bred"]
    asked = {record.number: items.raced(record.id) for record in bred if record.number is not None}
    asked = {number: count for number, count in asked.items() if count}
    if spec.fitness is None:
        everything = tuple(items.pool)
        whole = sum(record.number in asked and items.whole(record.id, everything) for record in bred)
        return FitnessReport(
            spec.name, None, items.size(), asked, 0, whole, {}, 0, 0, 0, 0, {}, (), _generation(asks, (), items)
        )
    shares = [task for task in spec.tasks if task in items.pool and task in spec.shares]
    by_label = {record.label: record for record in records if record.kind == "reference"}
    sources = [
        by_label[label]
        for label in spec.space.labelled
        if label in by_label and items.whole(by_label[label].id, shares)
    ]
    elites = [record for record in bred if is_elite(record, items, shares)]
    known = estimated(spec, shares)
    objectives = [(place, objective) for place, objective in enumerate(spec.objectives) if objective in known]
    imported, chosen = choices(spec, items, [record.id for record in sources], [record.id for record in elites], shares)
    return FitnessReport(
        study=spec.name,
        fitness=spec.fitness,
        items=items.size(),
        asked=asked,
        sources=len(sources),
        elites=len(elites),
        imported=imported,
        of_sources=sum(items.raced(record.id) for record in sources),
        of_elites=sum(items.later(record.id, REST_PART) for record in bred),
        of_retests=sum(items.later(record.id, RETEST_PART) for record in bred),
        checked=sum(items.later(record.id, CHECK_PART) for record in bred),
        choices=chosen,
        agreements=tuple(_agreement(*objective, bred, elites, asks, items) for objective in objectives),
        generation=_generation(asks, objectives, items),
        drift=drift_so_far(store, study_id),
    )


def is_elite(record: CandidateRecord, items: SearchItems, tasks: Sequence[str]) -> bool:
    """Whether what is measured of a candidate on search items is its full score: the search had it answer them all."""
    measured = record.measurements.get("search", {})
    return items.whole(record.id, tasks) and all(
        task in measured and measured[task].items == len(items.pool[task]) for task in tasks
    )


def last_generation(asks: Sequence[AskRecord]) -> list[tuple[CandidateRecord, ToldRecord]]:
    """The candidates of the last ask that the optimizer was told of, each once, without those that failed."""
    ask = _last_told(asks)
    if ask is None:
        return []
    pairs = zip(ask.candidates, ask.told or (), strict=True)
    return list({candidate.id: (candidate, told) for candidate, told in pairs if told is not None}.values())


def predictions(
    asks: Sequence[AskRecord], place: int, objective: ObjectiveSpec, items: SearchItems
) -> dict[str, Estimate]:
    """By candidate id, what the optimizer was first told of an objective.

    Args:
        place: of the objective among all of the study's.
    """
    found: dict[str, Estimate] = {}
    for ask in asks:
        for candidate, told in zip(ask.candidates, ask.told or [None] * len(ask.candidates), strict=True):
            if told is not None and candidate.id not in found:
                count = items.raced(candidate.id, objective.tasks)
                found[candidate.id] = Estimate(told.values[place], told.errors[place], max(count, 1))
    return found


def _last_told(asks: Sequence[AskRecord]) -> AskRecord | None:
    return max((ask for ask in asks if ask.told is not None), key=lambda ask: ask.number, default=None)


def _agreement(
    place: int,
    objective: ObjectiveSpec,
    bred: Sequence[CandidateRecord],
    elites: Sequence[CandidateRecord],
    asks: Sequence[AskRecord],
    items: SearchItems,
) -> Agreement:
    predicted = predictions(asks, place, objective, items)
    known = []
    for record in bred:
        full = items.score(record.id, objective.tasks)
        raced = items.raced(record.id, objective.tasks) < items.size(objective.tasks)
        if full is not None and raced and record.id in predicted and record.number is not None:
            known.append(Comparison(record.number, predicted[record.id], full, record in elites))
    return Agreement(objective.label, tuple(known))


def _generation(
    asks: Sequence[AskRecord], objectives: Sequence[tuple[int, ObjectiveSpec]], items: SearchItems
) -> Generation | None:
    ask = _last_told(asks)
    if ask is None:
        return None
    members = last_generation(asks)
    tasks = sorted({task for _, objective in objectives for task in objective.tasks})
    known = [(candidate, told) for candidate, told in members if items.whole(candidate.id, tasks)]
    ranking: dict[str, float | None] = {}
    for place, objective in objectives:
        full = [items.score(candidate.id, objective.tasks) or 0.0 for candidate, _ in known]
        ranking[objective.label] = kendall([told.values[place] for _, told in known], full)
    return Generation(ask.number, len(members), len(known), ranking)
