"""What a worker asks of its evaluating process: everything about the work, and nothing about the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..storage import Claim, Store, StudyRecord
from .known import known_scores
from .settings import WorkerSettings


@dataclass(frozen=True)
class Request:
    """Attributes: `content`, JSON; `wanted`: by place in the company, the claim whose outcome is asked for."""

    content: Mapping[str, Any]
    wanted: Mapping[int, Claim]


def request_for(store: Store, study: Mapping[str, Any], claims: Sequence[Claim]) -> Request:
    """To evaluate what was claimed together: one candidate, or a company.

    The whole company is sent, those that are over too: rounding may depend on who is computed together.

    Args:
        study: see `describe`.
    """
    first = claims[0].evaluation
    members = [claim.evaluation for claim in claims]
    if first.company is not None and not first.is_last_chance:
        members = [
            one for one in store.queue.company(first.company) if (one.stage, one.items) == (first.stage, first.items)
        ]
    recipes = store.candidates.recipes([member.candidate_id for member in members])
    places = {member.id: place for place, member in enumerate(members)}
    recipes = store.candidates.recipes([member.candidate_id for member in members])
    wanted = {places[claim.evaluation.id]: claim for claim in claims if claim.evaluation.id in places}
    return Request(
        {
            "do": "evaluate",
            "study": study,
            "stage": first.stage,
            "items": None if first.items is None else {task: list(ids) for task, ids in first.items.items()},
            "recipes": [recipes[member.candidate_id] for member in members],
            "wanted": [
                {"place": place, "scores": known_scores(store, claim.evaluation)} for place, claim in wanted.items()
            ],
        },
        wanted,
    )


def describe(store: Store, settings: WorkerSettings, study: StudyRecord) -> dict[str, Any]:
    """A study as the evaluating process needs it: its settings, and what must be the same here as where it began."""
    return {
        "id": study.id,
        "name": study.name,
        "spec": dict(study.spec),
        "versions": dict(study.plugin_versions),
        "models": store.studies.models(study.id),
        "roots": [str(root) for root in settings.roots],
        "folders": dict(settings.folders),
    }
