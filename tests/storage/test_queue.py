from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from heterosis.core.errors import StorageError
from heterosis.storage import EvaluationRecord, NewProposal, Responses, Store, StudyRecord, this_process
from heterosis.storage.evaluations import MAX_ATTEMPTS
from heterosis.storage.owners import is_dead
from heterosis.storage.tables import attempts
from sqlalchemy import select


@pytest.fixture
def evaluation(store: Store, study: StudyRecord, proposal: Callable[..., NewProposal]) -> EvaluationRecord:
    return store.asks.record(study.id, 0, [proposal(0.5)])[0].evaluations["search"]


def outcomes(store: Store, evaluation: EvaluationRecord) -> list[str | None]:
    query = select(attempts.c.outcome).where(attempts.c.evaluation_id == evaluation.id).order_by(attempts.c.attempt)
    with store.database.read() as connection:
        return list(connection.scalars(query))


def claim(store: Store, evaluation: EvaluationRecord, owner: str = "me", seconds: float = 60.0) -> int:
    attempt = store.queue.claim(evaluation.id, owner, seconds)
    assert attempt is not None
    return attempt


def test_an_evaluation_is_claimed_once(store: Store, evaluation: EvaluationRecord) -> None:
    assert store.queue.claim(evaluation.id, "me") == 1
    assert store.queue.claim(evaluation.id, "you") is None
    assert store.queue.claim("nowhere", "you") is None
    found = store.queue.get(evaluation.id)
    assert (found.state, found.attempt, found.lease_owner, found.worker) == ("running", 1, "me", "me")
    assert found.started_at is not None
    assert found.lease_expires_at is not None
    assert (found.lease_expires_at - found.started_at).total_seconds() == 60
    assert store.candidates.get(evaluation.candidate_id).state == "evaluating"


def test_a_lease_that_ran_out_is_taken_over_and_fences(
    store: Store, evaluation: EvaluationRecord, answers: Callable[..., Responses]
) -> None:
    first = claim(store, evaluation, "slow", seconds=0.01)
    time.sleep(0.02)
    second = claim(store, evaluation, "quick")
    assert (first, second) == (1, 2)
    assert not store.queue.beat(evaluation.id, first)
    assert not store.queue.release(evaluation.id, first)
    assert not store.results.fail(evaluation.id, first, "memory", "too late")
    assert not store.results.finish(evaluation.id, first, [answers(0.0)], {}, {})
    assert store.results.responses(evaluation.candidate_id, "search") == {}
    assert store.results.finish(evaluation.id, second, [answers(1.0)], {}, {})
    assert outcomes(store, evaluation) == ["lost", "succeeded"]


def test_a_beat_keeps_the_lease(store: Store, evaluation: EvaluationRecord) -> None:
    attempt = claim(store, evaluation, seconds=0.01)
    assert store.queue.beat(evaluation.id, attempt, 60.0)
    time.sleep(0.02)
    assert store.queue.claim(evaluation.id, "you") is None
    assert store.queue.reap() == []


def test_what_is_released_does_not_count(store: Store, evaluation: EvaluationRecord) -> None:
    for _ in range(2 * MAX_ATTEMPTS):
        assert store.queue.release(evaluation.id, claim(store, evaluation))
    assert store.queue.get(evaluation.id).state == "queued"
    assert outcomes(store, evaluation) == ["released"] * 2 * MAX_ATTEMPTS


def test_a_poisonous_evaluation_fails_in_the_end(store: Store, evaluation: EvaluationRecord) -> None:
    for _ in range(MAX_ATTEMPTS):
        claim(store, evaluation, "victim", seconds=0.01)
        time.sleep(0.02)
        assert store.queue.reap() == [evaluation.id]
    assert store.queue.claim(evaluation.id, "me") is None
    found = store.queue.get(evaluation.id)
    assert (found.state, found.error_kind) == ("failed", "lost")
    assert found.error_text is not None
    assert "lost 3 times (victim, victim, victim)" in found.error_text
    candidate = store.candidates.get(evaluation.candidate_id)
    assert candidate.state == "failed"
    assert candidate.failure is not None
    assert candidate.failure.startswith("lost: its worker was lost")
    assert outcomes(store, evaluation) == ["lost"] * MAX_ATTEMPTS


def test_the_last_lease_is_not_claimed_a_fourth_time(store: Store, evaluation: EvaluationRecord) -> None:
    for _ in range(MAX_ATTEMPTS):
        claim(store, evaluation, seconds=0.01)
        time.sleep(0.02)
    assert store.queue.claim(evaluation.id, "me") is None
    assert store.queue.get(evaluation.id).attempt == MAX_ATTEMPTS


def test_the_work_of_a_killed_process_is_free_at_once(store: Store, evaluation: EvaluationRecord) -> None:
    script = "from heterosis.storage import this_process; print(this_process(), flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    claim(store, evaluation, owner, seconds=3600)
    assert not is_dead(owner)
    assert store.queue.reap() == []
    process.kill()
    process.wait()
    process.stdout.close()
    assert is_dead(owner)
    assert store.queue.reap() == [evaluation.id]
    assert store.queue.claim(evaluation.id, this_process()) == 2


def test_an_owner_elsewhere_is_trusted_to_live() -> None:
    host, machine, pid, start = this_process().rsplit(":", 3)
    assert not is_dead(f"elsewhere:{machine}:999999999:1")
    assert not is_dead(f"{host}:another:999999999:1")
    assert not is_dead("me")
    assert is_dead(f"{host}:{machine}:999999999:1")
    assert is_dead(f"{host}:{machine}:{pid}:{start}0"), "the process id was used again"
    assert not is_dead(this_process())


def test_an_attempt_that_a_person_ended_does_not_count(store: Store, evaluation: EvaluationRecord) -> None:
    for attempt in range(1, 6):
        assert store.queue.claim(evaluation.id, "gone") == attempt
        assert store.queue.reap(dead=lambda owner: True, counted=False) == [evaluation.id]
    assert store.queue.get(evaluation.id).state == "queued"


def test_reaping_keeps_to_one_study(
    store: Store, study: StudyRecord, evaluation: EvaluationRecord, proposal: Callable[..., NewProposal]
) -> None:
    other = store.studies.create("second", {}, seed=1, plugin_versions={})
    theirs = store.asks.record(other.id, 0, [proposal(0.5)])[0].evaluations["search"]
    for one in (evaluation, theirs):
        claim(store, one)
    assert store.queue.reap(other.id, dead=lambda owner: True) == [theirs.id]
    assert store.queue.get(evaluation.id).state == "running"


def test_a_reaper_that_is_overtaken_does_nothing(
    store: Store, evaluation: EvaluationRecord, answers: Callable[..., Responses]
) -> None:
    attempt = claim(store, evaluation)

    def finish_meanwhile(owner: str) -> bool:
        # Between the reaper's look and its act, the owner beats, or another reaper has been there already.
        return store.queue.beat(evaluation.id, attempt, 120.0)

    assert store.queue.reap(dead=finish_meanwhile) == []
    assert store.queue.get(evaluation.id).state == "running"
    assert store.results.finish(evaluation.id, attempt, [answers(1.0)], {}, {})


def test_ensuring_an_evaluation_twice_gives_the_first(store: Store, study: StudyRecord) -> None:
    base = store.candidates.add_reference(study.id, "base", {}, "a" * 64)
    first = store.queue.ensure(base.id, "test", "b" * 64)
    assert (first.state, first.stage, first.eval_key) == ("queued", "test", "b" * 64)
    assert store.queue.ensure(base.id, "test", "c" * 64) == first
    assert store.queue.pending(study.id) == [first]
    assert store.queue.pending(study.id, "validation") == []
    with pytest.raises(StorageError):
        store.queue.ensure("nowhere", "test", "b" * 64)


def test_what_is_over_is_not_pending(
    store: Store, study: StudyRecord, evaluation: EvaluationRecord, answers: Callable[..., Responses]
) -> None:
    attempt = claim(store, evaluation)
    assert [one.state for one in store.queue.pending(study.id)] == ["running"]
    store.results.finish(evaluation.id, attempt, [answers(1.0)], {}, {})
    assert store.queue.pending(study.id) == []
    assert store.queue.claim(evaluation.id, "you") is None


def test_an_unknown_evaluation_is_refused(store: Store) -> None:
    with pytest.raises(StorageError, match="no evaluation with id nowhere"):
        store.queue.get("nowhere")
