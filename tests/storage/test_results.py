from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from heterosis.core.contracts import Item
from heterosis.core.errors import StorageError
from heterosis.core.estimate import Estimate
from heterosis.storage import EvaluationRecord, ItemSet, NewProposal, Responses, Store, StudyRecord
from heterosis.storage.results import BLOCK_ITEMS
from heterosis.storage.tables import item_responses, item_sets
from sqlalchemy import func, select

Make = Callable[..., NewProposal]
Answers = Callable[..., Responses]


@pytest.fixture
def evaluation(store: Store, study: StudyRecord, proposal: Make) -> EvaluationRecord:
    return store.asks.record(study.id, 0, [proposal(0.5)])[0].evaluations["search"]


def finish(store: Store, evaluation: EvaluationRecord, *responses: Responses) -> None:
    attempt = store.queue.claim(evaluation.id, "me")
    assert attempt is not None
    assert store.results.finish(evaluation.id, attempt, responses, {}, {})


def test_a_success_is_recorded_whole(store: Store, evaluation: EvaluationRecord, answers: Answers) -> None:
    attempt = store.queue.claim(evaluation.id, "me")
    assert attempt is not None
    measured = {"accuracy": Estimate(2 / 3, 0.25, 3), "bytes": Estimate(12345678901.0, 0.0, 1)}
    given = [answers(0.0, 1.0, 1.0), answers(0.1, 1 / 3, task="italian")]
    assert store.results.finish(evaluation.id, attempt, given, measured, {"build": 0.5, "score": 1.25})
    found = store.queue.get(evaluation.id)
    assert (found.state, found.seconds) == ("succeeded", {"build": 0.5, "score": 1.25})
    assert found.lease_owner is None
    assert found.finished_at is not None
    assert store.results.responses(evaluation.candidate_id, "search") == {"maths": given[0], "italian": given[1]}
    assert store.results.responses(evaluation.candidate_id, "test") == {}
    candidate = store.candidates.get(evaluation.candidate_id)
    assert candidate.state == "complete"
    assert candidate.measurements == {"search": measured}


def test_a_result_counts_once(store: Store, evaluation: EvaluationRecord, answers: Answers) -> None:
    attempt = store.queue.claim(evaluation.id, "me")
    assert attempt is not None
    assert not store.results.finish(evaluation.id, attempt + 1, [answers(0.0)], {}, {})
    assert store.results.finish(evaluation.id, attempt, [answers(1.0)], {"accuracy": Estimate(1.0, 0.0, 1)}, {})
    assert not store.results.finish(evaluation.id, attempt, [answers(0.0)], {"accuracy": Estimate(0.0, 0.0, 1)}, {})
    assert not store.results.fail(evaluation.id, attempt, "nan", "too late")
    assert store.results.responses(evaluation.candidate_id, "search")["maths"].scores == (1.0,)
    assert store.candidates.get(evaluation.candidate_id).state == "complete"


def test_a_failure_is_recorded_with_its_reason(store: Store, evaluation: EvaluationRecord) -> None:
    attempt = store.queue.claim(evaluation.id, "me")
    assert attempt is not None
    assert store.results.fail(evaluation.id, attempt, "memory", "out of memory: é\0" + "ß" * 10_000)
    found = store.queue.get(evaluation.id)
    assert (found.state, found.error_kind) == ("failed", "memory")
    assert found.error_text is not None
    assert found.error_text.startswith("out of memory: éß")
    assert 8190 <= len(found.error_text.encode()) <= 8192
    candidate = store.candidates.get(evaluation.candidate_id)
    assert candidate.state == "failed"
    assert candidate.failure is not None
    assert candidate.failure.startswith("memory: out of memory")
    assert store.queue.claim(evaluation.id, "me") is None


def test_a_later_stage_does_not_undo_the_search(store: Store, evaluation: EvaluationRecord, answers: Answers) -> None:
    finish(store, evaluation, answers(1.0))
    later = store.queue.ensure(evaluation.candidate_id, "test", "f" * 64)
    attempt = store.queue.claim(later.id, "me")
    assert attempt is not None
    assert store.results.fail(later.id, attempt, "memory", "no room")
    candidate = store.candidates.get(evaluation.candidate_id)
    assert (candidate.state, candidate.failure) == ("complete", None)
    assert candidate.evaluations["test"].error_text == "no room"


@pytest.mark.parametrize(
    ("measured", "seconds"),
    [
        ({"accuracy": Estimate(math.nan, 0.0, 1)}, {}),
        ({"accuracy": Estimate(math.inf, 0.0, 1)}, {}),
        ({"accuracy": Estimate(0.5, math.inf, 1)}, {}),
        ({}, {"build": math.nan}),
    ],
)
def test_only_finite_numbers_enter(
    store: Store,
    evaluation: EvaluationRecord,
    answers: Answers,
    measured: dict[str, Estimate],
    seconds: dict[str, float],
) -> None:
    attempt = store.queue.claim(evaluation.id, "me")
    assert attempt is not None
    with pytest.raises(StorageError, match="only finite values"):
        store.results.finish(evaluation.id, attempt, [answers(1.0)], measured, seconds)
    assert store.queue.get(evaluation.id).state == "running"
    assert store.results.responses(evaluation.candidate_id, "search") == {}


@pytest.mark.parametrize("score", [math.nan, math.inf, -0.1, 1.5])
def test_a_score_is_between_0_and_1(score: float) -> None:
    with pytest.raises(StorageError, match="'maths' scored item 'q2'"):
        Responses("maths", ItemSet("a" * 64, ("q1", "q2")), (0.5, score))
    with pytest.raises(StorageError, match="1 scores for 2 items"):
        Responses("maths", ItemSet("a" * 64, ("q1", "q2")), (0.5,))


def test_many_responses_are_packed_and_exact(store: Store, evaluation: EvaluationRecord, answers: Answers) -> None:
    scores = np.random.default_rng(0).random(BLOCK_ITEMS + 10)
    given = answers(*scores.tolist())
    finish(store, evaluation, given)
    assert store.results.responses(evaluation.candidate_id, "search") == {"maths": given}
    with store.database.read() as connection:
        blocks = connection.execute(select(item_responses).order_by(item_responses.c.first_item)).all()
    assert [(block.first_item, block.n) for block in blocks] == [(0, BLOCK_ITEMS), (BLOCK_ITEMS, 10)]
    assert blocks[1].scores == scores[BLOCK_ITEMS:].astype("<f8").tobytes()


def test_an_item_set_is_stored_once(store: Store, study: StudyRecord, proposal: Make, answers: Answers) -> None:
    for candidate in store.asks.record(study.id, 0, [proposal(0.5), proposal(0.25)]):
        finish(store, candidate.evaluations["search"], answers(1.0, 0.0), answers(1.0, 0.0, task="again"))
    with store.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(item_sets)) == 1
    of_study = store.results.responses_of_study(study.id, "search")
    assert len(of_study) == 2
    assert all(found.keys() == {"maths", "again"} for found in of_study.values())


def test_equal_work_is_found_in_another_study(
    store: Store, evaluation: EvaluationRecord, proposal: Make, answers: Answers
) -> None:
    other = store.studies.create("second", {}, seed=1, plugin_versions={})
    twin = store.asks.record(other.id, 0, [proposal(0.5)])[0].evaluations["search"]
    assert twin.eval_key == evaluation.eval_key
    assert store.results.find_responses(twin.eval_key) is None, "nobody has done it yet"
    finish(store, evaluation, answers(1.0, 0.5))
    assert store.results.find_responses(twin.eval_key, besides=twin.id) == {"maths": answers(1.0, 0.5)}
    assert store.results.find_responses(twin.eval_key, besides=evaluation.id) is None
    assert store.results.find_responses("0" * 64) is None


def test_work_that_failed_is_no_work(store: Store, evaluation: EvaluationRecord) -> None:
    attempt = store.queue.claim(evaluation.id, "me")
    assert attempt is not None
    store.results.fail(evaluation.id, attempt, "memory", "no room")
    assert store.results.find_responses(evaluation.eval_key) is None


def test_a_changed_question_is_another_item_set() -> None:
    items = [Item("q1", {"text": "1 + 1?"}), Item("q2", {"text": "2 + 2?"})]
    first = ItemSet.of({"choices": 4}, items)
    assert first.item_ids == ("q1", "q2")
    assert first == ItemSet.of({"choices": 4}, items)
    assert first.id != ItemSet.of({"choices": 5}, items).id
    assert first.id != ItemSet.of({"choices": 4}, [Item("q1", {"text": "1 + 2?"}), items[1]]).id
