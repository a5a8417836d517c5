from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from heterosis.core.errors import StorageError
from heterosis.core.estimate import Estimate
from heterosis.core.genome import content_hash
from heterosis.storage import NewProposal, Responses, Store, StudyRecord
from heterosis.storage.tables import environments
from sqlalchemy import func, select

CONTENT = {"torch": "2.9", "device": {"type": "cpu", "threads": 2}, "deterministic": None}


def test_equal_environments_are_one(store: Store) -> None:
    first = store.environments.record(CONTENT)
    again = store.environments.record(dict(reversed(CONTENT.items())))
    assert first == again == content_hash(CONTENT)
    assert store.environments.get(first) == CONTENT
    assert store.environments.record({**CONTENT, "torch": "2.10"}) != first
    with store.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(environments)) == 2


def test_what_cannot_be_recorded(store: Store) -> None:
    with pytest.raises(StorageError, match="cannot be recorded"):
        store.environments.record({"speed": math.nan})
    with pytest.raises(StorageError, match="no environment with id ffff"):
        store.environments.get("f" * 64)


def test_a_result_says_where_it_comes_from(
    store: Store, study: StudyRecord, proposal: Callable[..., NewProposal], answers: Callable[..., Responses]
) -> None:
    (candidate,) = store.asks.record(study.id, 0, [proposal(0.5)])
    evaluation = candidate.evaluations["search"]
    before = store.provenance.of(evaluation.id)
    assert (before.state, before.attempt, before.worker, before.environment_id) == ("queued", 0, None, None)
    assert before.item_sets == before.environment == {}
    environment_id = store.environments.record(CONTENT)
    attempt = store.queue.claim(evaluation.id, "me")
    assert attempt is not None
    given = [answers(1.0, 0.0), answers(0.5, 0.5, 1.0, task="italian")]
    measured = {"accuracy": Estimate(0.5, 0.1, 2)}
    assert store.results.finish(evaluation.id, attempt, given, measured, {}, environment_id)
    found = store.provenance.of(evaluation.id)
    assert (found.study, found.number, found.label) == ("first", 0, None)
    assert (found.recipe_sha256, found.candidate_id) == (candidate.fingerprint, candidate.id)
    assert found.item_sets == {"maths": given[0].item_set.id, "italian": given[1].item_set.id}
    assert (found.state, found.attempt, found.worker) == ("succeeded", 1, "me")
    assert (found.environment_id, found.environment) == (environment_id, CONTENT)
    assert found.finished_at is not None
    assert store.provenance.of_candidate(candidate.id) == [found]
    with pytest.raises(StorageError, match="no evaluation with id nowhere"):
        store.provenance.of("nowhere")
