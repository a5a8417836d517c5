"""How a study stands, from the database alone: no plugin is loaded, no checkpoint is touched."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..search.search_items import SearchItems
from ..storage import CandidateRecord, EvaluationRecord, Store, StudyRecord
from ..storage.owners import is_dead

_OVER = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Standing:
    """How far a study is.

    Attributes:
        state: as recorded, or `interrupted` if it says `running` but the process that ran it is dead.
        done, whole: candidates evaluated on search items (failed ones included), and how many there shall be.
        repeats: proposals whose genome had been proposed before.
        objective: label of the first objective; `best_value` is the best mean of it on search items.
        best_items: how many items `best_value` is estimated from, where those are fewer than the `items` that there are
            to ask for the objective; both None where every item is asked.
        later_stages: evaluations done on validation and test items.
        seconds: mean wall-clock seconds of a candidate by phase (`merge`, `score`).
        failures: reasons and how often each was met, most frequent first.
        other_versions: packages whose version has changed since: recorded, and installed now (None: not installed).
    """

    name: str
    state: str
    seed: int
    done: int
    whole: int
    repeats: int
    failed: int
    objective: str
    best_number: int | None
    best_value: float | None
    best_items: int | None
    items: int | None
    later_stages: Mapping[str, int]
    seconds: Mapping[str, float]
    seconds_in_all: float
    failures: tuple[tuple[str, int], ...]
    other_versions: Mapping[str, tuple[str, str | None]]
    created_at: datetime
    updated_at: datetime

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        times = {"created_at": self.created_at.isoformat(), "updated_at": self.updated_at.isoformat()}
        failures = [{"reason": reason, "count": count} for reason, count in self.failures]
        versions = {
            package: {"recorded": recorded, "installed": installed}
            for package, (recorded, installed) in self.other_versions.items()
        }
        return {**asdict(self), **times, "failures": failures, "other_versions": versions}


def standing(store: Store, study: StudyRecord) -> Standing:
    """How a study stands now."""
    candidates = store.candidates.all(study.id)
    bred = [candidate for candidate in candidates if candidate.kind == "bred"]
    evaluations = [evaluation for parts in store.queue.parts(study.id).values() for evaluation in parts]
    searched = [candidate for candidate in bred if candidate.is_over("search")]
    over = [evaluation for evaluation in evaluations if evaluation.state in _OVER]
    later = Counter(evaluation.stage for evaluation in over if evaluation.stage != "search")
    proposals = sum(len(ask.candidates) for ask in store.asks.all(study.id))
    best = _best(study, bred)
    seconds = _mean_seconds(over)
    items = _items(store, study)
    done = len(searched)
    whole = max(int(study.spec["candidates"]), proposals) - (proposals - len(bred))
    return Standing(
        name=study.name,
        state=_state(study, evaluations),
        seed=study.seed,
        done=done,
        whole=done if study.state == "complete" else whole,
        repeats=proposals - len(bred),
        failed=sum(not candidate.measurements.get("search") for candidate in searched),
        objective=_objective(study)[0],
        best_number=best[0] if best else None,
        best_value=best[1] if best else None,
        best_items=best[2] if best and items and best[2] < items else None,
        items=items,
        later_stages={stage: later[stage] for stage in ("validation", "test") if later[stage]},
        seconds=seconds,
        seconds_in_all=sum(sum(evaluation.seconds.values()) for evaluation in over),
        failures=tuple(Counter(_reason(evaluation) for evaluation in over if _has_failed(evaluation)).most_common()),
        other_versions=_other_versions(study.plugin_versions),
        created_at=study.created_at,
        updated_at=study.updated_at,
    )


def _state(study: StudyRecord, evaluations: Sequence[EvaluationRecord]) -> str:
    owners = {evaluation.lease_owner for evaluation in evaluations if evaluation.state == "running"}
    abandoned = study.state == "running" and any(owner is not None and is_dead(owner) for owner in owners)
    return "interrupted" if abandoned else study.state


def _objective(study: StudyRecord) -> tuple[str, float]:
    """Label of the first objective, and +1 if it is maximised, -1 if it is minimised."""
    first = study.spec["objectives"][0]
    return str(first["label"]), 1.0 if "maximize" in first else -1.0


def _best(study: StudyRecord, bred: Sequence[CandidateRecord]) -> tuple[int, float, int] | None:
    """Number, value and how many items it was seen through."""
    label, sign = _objective(study)
    estimated = "fitness" in study.spec  # then one standard error worse counts, as it does for finalists
    measured = []
    for candidate in bred:
        found = candidate.measurements.get("search", {}).get(label)
        if candidate.number is not None and found is not None:
            error = found.standard_error if estimated and math.isfinite(found.standard_error) else 0.0
            measured.append((sign * found.mean - error, -candidate.number, found))
    if not measured:
        return None
    _, number, figure = max(measured, key=lambda entry: entry[:2])
    return -number, figure.mean, figure.items


def _items(store: Store, study: StudyRecord) -> int | None:
    """How many search items the first objective has, where few of them are asked."""
    if "fitness" not in study.spec:
        return None
    return SearchItems(store, study.id).size(study.spec["objectives"][0].get("tasks", ()))


def _mean_seconds(over: Sequence[EvaluationRecord]) -> dict[str, float]:
    timed = [evaluation for evaluation in over if evaluation.stage == "search" and evaluation.seconds]
    whole = len({evaluation.candidate_id for evaluation in timed})  # a candidate may be asked in several parts
    phases = dict.fromkeys(phase for evaluation in timed for phase in evaluation.seconds)
    return {phase: sum(one.seconds.get(phase, 0.0) for one in timed) / whole for phase in phases}


def _has_failed(evaluation: EvaluationRecord) -> bool:
    return evaluation.state == "failed"


def _reason(evaluation: EvaluationRecord) -> str:
    return f"{evaluation.error_kind}: {evaluation.error_text}"


def _other_versions(recorded: Mapping[str, str]) -> dict[str, tuple[str, str | None]]:
    found = {package: (then, _installed(package)) for package, then in recorded.items()}
    return {package: (then, now) for package, (then, now) in found.items() if then != now}


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
