"""What need not be asked again: what the candidate answered in other parts, and what equal work gave in any study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ..storage import EvaluationRecord, Store

Scores: TypeAlias = Mapping[str, tuple[float, ...]]
"""By task, one response in [0, 1] for each of the items asked, in order."""


def known_scores(store: Store, record: EvaluationRecord) -> Scores | None:
    """The responses that an evaluation would bring, where they are recorded already; None if some are not."""
    earlier = _answered_before(store, record)
    if earlier is not None:
        return earlier
    found = store.results.find_responses(record.eval_key, besides=record.id)
    return None if found is None else {task: responses.scores for task, responses in found.items()}


def _answered_before(store: Store, record: EvaluationRecord) -> Scores | None:
    if record.items is None:
        return None
    answered = {
        task: dict(zip(responses.item_set.item_ids, responses.scores, strict=True))
        for task, responses in store.results.responses(record.candidate_id, record.stage).items()
    }
    if any(id_ not in answered.get(task, ()) for task, ids in record.items.items() for id_ in ids):
        return None
    return {task: tuple(answered[task][id_] for id_ in ids) for task, ids in record.items.items()}
