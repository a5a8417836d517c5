"""A worker whose canary disagrees: what it found since the last time that it agreed is not mixed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from heterosis.core.errors import StorageError
from heterosis.core.estimate import Estimate
from heterosis.storage import EvaluationRecord, NewProposal, Responses, Store, StudyRecord, ToldRecord
from heterosis.storage.records import CandidateRecord, WorkerRecord
from heterosis.storage.tables import attempts
from sqlalchemy import select

Make = Callable[..., NewProposal]
Answers = Callable[..., Responses]

MEASURED = {"accuracy": Estimate(0.5, 0.1, 2)}
TOLD = ToldRecord((0.5,), (0.1,))


class Fleet:
    """Two workers of one study, and short ways to let them do things."""

    def __init__(self, store: Store, study: StudyRecord, answers: Answers) -> None:
        self.store, self.study, self._answers = store, study, answers
        self.good, self.bad = self._worker("good"), self._worker("bad")

    def _worker(self, owner: str) -> WorkerRecord:
        return self.store.workers.register(owner, "host", 1, "1.0", "processes", ["default"], {"name": "cpu"})

    def finish(self, evaluation: EvaluationRecord, by: WorkerRecord, copied: bool = False) -> None:
        attempt = self.store.queue.claim(evaluation.id, by.owner)
        assert attempt is not None
        measured = {} if evaluation.items else MEASURED
        seconds = {} if copied else {"merge": 1.0, "score": 2.0}
        assert self.store.results.finish(evaluation.id, attempt, [self._answers(1.0, 0.0)], measured, seconds)

    def agree(self, worker: WorkerRecord, study: StudyRecord | None = None) -> None:
        self.store.canaries.record((study or self.study).id, worker.id, [-1.0], "agrees")

    def drift(self) -> tuple[set[str], set[str]]:
        found = self.store.distrust.drifted(self.study.id, self.bad.id, [-9.0], "off by 900%")
        return set(found.taken), set(found.suspect)

    def events(self, kind: str) -> list[str]:
        return [event.subject_id for event in self.store.events.of_type(self.study.id, kind)]


@pytest.fixture
def fleet(store: Store, study: StudyRecord, answers: Answers) -> Fleet:
    store.studies.set_state(study.id, "running")
    return Fleet(store, study, answers)


def searches(candidates: Sequence[CandidateRecord]) -> list[EvaluationRecord]:
    return [candidate.evaluations["search"] for candidate in candidates]


def test_canaries_are_numbered_and_kept_in_order(store: Store, study: StudyRecord, fleet: Fleet) -> None:
    assert store.canaries.record(study.id, fleet.good.id, [-1.5, -2.25], "agrees") == 0
    assert store.canaries.record(study.id, fleet.bad.id, [], "drifted") == 0
    assert store.canaries.record(study.id, fleet.good.id, [-1.5, -2.5], "agrees") == 1
    found = store.canaries.of(study.id)
    assert [(one.worker_id, one.number, one.values, one.verdict) for one in found] == [
        (fleet.good.id, 0, (-1.5, -2.25), "agrees"),
        (fleet.bad.id, 0, (), "drifted"),
        (fleet.good.id, 1, (-1.5, -2.5), "agrees"),
    ]
    with pytest.raises(StorageError):
        store.canaries.record(study.id, fleet.good.id, [float("nan")], "agrees")


def test_what_the_optimizer_was_not_told_is_evaluated_again(store: Store, fleet: Fleet, proposal: Make) -> None:
    first, second, other = searches(store.asks.record(fleet.study.id, 0, [proposal(0.1), proposal(0.2), proposal(0.3)]))
    fleet.finish(first, fleet.bad)
    fleet.agree(fleet.bad)
    fleet.finish(second, fleet.bad)
    fleet.finish(other, fleet.good)
    assert fleet.drift() == ({second.id}, set())
    worker = store.workers.get(fleet.bad.id)
    assert (worker.state, worker.reason) == ("drifted", "off by 900%")
    assert store.workers.get(fleet.good.id).state == "up"
    assert fleet.events("evaluation.distrusted") == [second.id]
    assert fleet.events("worker.drifted") == [fleet.bad.id]
    assert fleet.events("result.suspect") == []
    again = store.queue.get(second.id)
    assert (again.state, again.finished_at, again.seconds) == ("queued", None, {})
    assert again.max_attempts - again.attempt == 3, "the attempt does not count"
    candidate = store.candidates.get(second.candidate_id)
    assert (candidate.state, candidate.measurements) == ("evaluating", {})
    assert store.results.responses(candidate.id, "search") == {}
    assert store.results.find_responses(second.eval_key) is None
    for kept in (first, other):
        assert store.candidates.get(kept.candidate_id).state == "complete"
        assert store.candidates.get(kept.candidate_id).measurements == {"search": MEASURED}


def test_it_is_found_anew_and_the_distrusted_attempt_stays_fenced(store: Store, fleet: Fleet, proposal: Make) -> None:
    (evaluation,) = searches(store.asks.record(fleet.study.id, 0, [proposal(0.1)]))
    fleet.finish(evaluation, fleet.bad)
    fleet.drift()
    assert not store.results.finish(evaluation.id, 1, [], MEASURED, {})
    fleet.finish(evaluation, fleet.good)
    candidate = store.candidates.get(evaluation.candidate_id)
    assert (candidate.state, candidate.measurements) == ("complete", {"search": MEASURED})
    with store.database.read() as connection:
        rows = connection.execute(select(attempts.c.worker, attempts.c.outcome).order_by(attempts.c.attempt)).all()
    assert [tuple(row) for row in rows] == [("bad", "distrusted"), ("good", "succeeded")]


def test_what_the_optimizer_was_told_is_flagged_and_stays(store: Store, fleet: Fleet, proposal: Make) -> None:
    (told,) = searches(store.asks.record(fleet.study.id, 0, [proposal(0.1)]))
    fleet.finish(told, fleet.bad)
    store.asks.mark_told(fleet.study.id, 0, [TOLD])
    again, new = searches(store.asks.record(fleet.study.id, 1, [proposal(0.1), proposal(0.2)]))
    assert again.id == told.id
    fleet.finish(new, fleet.bad)
    assert fleet.drift() == ({new.id}, {told.id})
    assert fleet.events("result.suspect") == [told.id]
    assert store.queue.get(told.id).state == "succeeded"
    assert store.candidates.get(told.candidate_id).measurements == {"search": MEASURED}


def test_a_failure_that_it_found_is_taken_back_one_that_befell_it_is_not(
    store: Store, fleet: Fleet, proposal: Make
) -> None:
    odd, lost = searches(store.asks.record(fleet.study.id, 0, [proposal(0.1), proposal(0.2)]))
    for evaluation, kind in ((odd, "weights"), (lost, "lost")):
        attempt = store.queue.claim(evaluation.id, fleet.bad.owner)
        assert attempt is not None
        assert store.results.fail(evaluation.id, attempt, kind, "not finite")
    assert fleet.drift() == ({odd.id}, set())
    again = store.queue.get(odd.id)
    assert (again.state, again.error_kind, again.error_text) == ("queued", None, None)
    candidate = store.candidates.get(odd.candidate_id)
    assert (candidate.state, candidate.failure) == ("evaluating", None)
    assert store.queue.get(lost.id).state == "failed"


def test_of_a_candidate_asked_in_parts_only_its_parts_are_taken_back(
    store: Store, fleet: Fleet, proposal: Make
) -> None:
    (candidate,) = store.asks.record(fleet.study.id, 0, [proposal(0.1)])
    parts = [
        store.queue.ensure(candidate.id, "search", letter * 64, part, {"maths": ["q0", "q1"]})
        for part, letter in enumerate("ab", start=1)
    ]
    fleet.finish(parts[0], fleet.good)
    fleet.finish(parts[1], fleet.bad)
    store.results.measure(candidate.id, "search", MEASURED)
    assert fleet.drift() == ({parts[1].id}, set())
    assert [store.queue.get(part.id).state for part in parts] == ["succeeded", "queued"]
    found = store.candidates.get(candidate.id)
    assert (found.state, found.measurements) == ("evaluating", {}), "the measurement was made of both"
    assert len(store.results.responses(candidate.id, "search")["maths"].scores) == 2


def test_what_was_copied_goes_with_what_it_was_copied_from(store: Store, fleet: Fleet, proposal: Make) -> None:
    twin_study = store.studies.create("second", {}, seed=1, plugin_versions={})
    third_study = store.studies.create("third", {}, seed=1, plugin_versions={})
    (evaluation,) = searches(store.asks.record(fleet.study.id, 0, [proposal(0.1)]))
    (copy,) = searches(store.asks.record(twin_study.id, 0, [proposal(0.1)]))
    (computed,) = searches(store.asks.record(third_study.id, 0, [proposal(0.1)]))
    assert copy.eval_key == evaluation.eval_key
    fleet.finish(evaluation, fleet.bad)
    fleet.finish(copy, fleet.good, copied=True)
    fleet.finish(computed, fleet.good)
    assert fleet.drift() == ({evaluation.id, copy.id}, set())
    assert store.queue.get(copy.id).state == "queued"
    assert [event.subject_id for event in store.events.of_type(twin_study.id, "evaluation.distrusted")] == [copy.id]
    assert store.queue.get(computed.id).state == "succeeded"


@pytest.mark.parametrize(("state", "taken"), [("running", True), ("complete", False)])
def test_a_later_stage_is_evaluated_again_while_the_study_runs(
    state: str, taken: bool, store: Store, fleet: Fleet, proposal: Make
) -> None:
    (candidate,) = store.asks.record(fleet.study.id, 0, [proposal(0.1)])
    fleet.finish(candidate.evaluations["search"], fleet.good)
    store.asks.mark_told(fleet.study.id, 0, [TOLD])
    later = store.queue.ensure(candidate.id, "validation", "a" * 64)
    reference = store.candidates.add_reference(fleet.study.id, "base", {"merge": "none"}, "c" * 64)
    tested = store.queue.ensure(reference.id, "test", "b" * 64)
    for evaluation in (later, tested):
        fleet.finish(evaluation, fleet.bad)
    store.studies.set_state(fleet.study.id, state)  # type: ignore[arg-type]
    ids = {later.id, tested.id}
    assert fleet.drift() == ((ids, set()) if taken else (set(), ids))
    found = store.candidates.get(candidate.id)
    assert found.state == "complete", "the search is not touched"
    assert found.measurements.keys() == ({"search"} if taken else {"search", "validation"})
    assert store.candidates.get(reference.id).state == ("evaluating" if taken else "complete")


def test_another_study_of_the_worker_is_taken_back_by_itself(store: Store, fleet: Fleet, proposal: Make) -> None:
    other = store.studies.create("second", {}, seed=1, plugin_versions={})
    before, after = searches(store.asks.record(other.id, 0, [proposal(0.7), proposal(0.8)]))
    fleet.finish(before, fleet.bad)
    fleet.agree(fleet.bad, other)
    fleet.finish(after, fleet.bad)
    assert fleet.drift() == (set(), set())
    found = store.distrust.take_back(other.id, fleet.bad.id, "off elsewhere")
    assert (found.taken, found.suspect) == ((after.id,), ())
    with pytest.raises(StorageError, match="no worker with id nobody"):
        store.distrust.take_back(other.id, "nobody", "")
