"""Why not uniform? What a search of bit-widths gained over each of its starts, and which levels it chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import ConfigurationError
from ..core.estimate import Estimate
from ..core.recipe import Recipe
from ..core.study_spec import ObjectiveSpec
from ..storage import CandidateRecord
from .level_record import LevelRecord, recorded_levels
from .ranking import ranked
from .study import Study

DIGITS = "123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Levelled:
    """A candidate: its number, bits for each searched weight, cost in the budget's unit, and the first objective."""

    number: int
    bits: float
    cost: int
    value: Estimate


@dataclass(frozen=True)
class Comparison:
    """A start and what was found that takes no more.

    Attributes:
        start: None while it has not been evaluated, or if it failed.
        best: of all candidates that cost no more than the start; the start itself if none is better.
        gain: how much better `best` is, 0 or more, in the objective's unit.
        winner_gain: how much better the winner is (negative: worse); None if it costs more than the start.
    """

    label: str
    start: Levelled | None
    best: Levelled | None = None
    gain: float | None = None
    winner_gain: float | None = None


@dataclass(frozen=True)
class LevelReport:
    """Attributes: `unit`: of costs; `levels`: the winner's, by kind; `signs`: a letter or digit for each level."""

    objective: str
    unit: str
    winner: Levelled
    front: Sequence[Levelled]
    comparisons: Sequence[Comparison]
    levels: Mapping[str, Sequence[str]]
    signs: Mapping[str, str]


def level_report(study: Study) -> LevelReport:
    """The report of a study, on search items.

    Raises:
        ConfigurationError: it searches no levels, has not begun, or no candidate has succeeded yet.
    """
    known = recorded_levels(study.record.id, study.store)
    if known is None:
        why = "has not begun" if study.spec.space.quantize else "searches no bit-widths: its `space` has no `quantize`"
        raise ConfigurationError(f"the study {study.spec.name!r} {why}")
    objective = study.spec.objectives[0]
    winner = study.best().record
    order = ranked(study.store.candidates.all(study.record.id, "bred"), objective)
    found = {record.genome: _levelled(record, known, objective) for record in order}
    first = _levelled(winner, known, objective)
    sign = -1.0 if objective.direction == "minimize" else 1.0

    def compared(label: str, start: Levelled | None) -> Comparison:
        if start is None:
            return Comparison(label, None)
        best = next(one for one in found.values() if one.cost <= start.cost)
        gain = sign * (best.value.mean - start.value.mean)
        winner_gain = sign * (first.value.mean - start.value.mean) if first.cost <= start.cost else None
        return Comparison(label, start, start if gain == 0 else best, gain, winner_gain)

    levels = _levels(winner)
    return LevelReport(
        objective.label,
        known.unit,
        first,
        [_levelled(candidate.record, known, objective) for candidate in study.front()],
        [compared(start.label, found.get(start.genome)) for start in known.starts],
        levels,
        _signs(known, levels),
    )


def _levelled(record: CandidateRecord, known: LevelRecord, objective: ObjectiveSpec) -> Levelled:
    assert record.genome is not None
    assert record.number is not None
    value = record.measurements["search"][objective.label]
    return Levelled(record.number, known.bits(record.genome), known.costs.total(record.genome), value)


def _levels(record: CandidateRecord) -> dict[str, tuple[str, ...]]:
    """By kind of weights, the level of each layer (one where all have the same)."""
    quantize = Recipe.from_dict(record.recipe).quantize
    return dict(quantize.levels) if quantize is not None else {}


def _signs(known: LevelRecord, levels: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """A sign for each level that is there, from the smallest to the largest."""
    sizes: dict[str, float] = {}
    for gene, costs in known.costs.costs.items():
        for label, cost in costs.items():
            sizes[label] = max(sizes.get(label, 0.0), cost / known.costs.weights[gene])
    used = {label for labels in levels.values() for label in labels}
    ordered = sorted(used | sizes.keys(), key=lambda label: (sizes.get(label, float("inf")), label))
    return {label: DIGITS[place % len(DIGITS)] for place, label in enumerate(ordered)}


def as_json(report: LevelReport) -> dict[str, Any]:
    """JSON-ready."""

    def one(found: Levelled | None) -> dict[str, Any] | None:
        if found is None:
            return None
        value = {"mean": found.value.mean, "standard_error": found.value.standard_error, "items": found.value.items}
        return {"candidate": found.number, "bits": found.bits, "cost": found.cost, "value": value}

    return {
        "objective": report.objective,
        "unit_of_cost": report.unit,
        "winner": one(report.winner),
        "front": [one(found) for found in report.front],
        "starts": [
            {
                "start": row.label,
                "of": one(row.start),
                "best": one(row.best),
                "gain": row.gain,
                "winner_gain": row.winner_gain,
            }
            for row in report.comparisons
        ],
        "levels": {kind: list(labels) for kind, labels in report.levels.items()},
    }
