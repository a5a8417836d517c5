"""A worker claims, has a process compute, and records: whatever becomes of the process, the record is right."""

import threading
from dataclasses import replace

import pytest
from heterosis.core.errors import StorageError
from heterosis.core.estimate import Estimate
from heterosis.core.genome import Genome, content_hash
from heterosis.storage import Ending, ItemSet, NewProposal, Responses, Store
from heterosis.workers.evaluation_process import ChildLostError
from heterosis.workers.outcome import Failure, Outcome, to_json
from heterosis.workers.settings import WorkerSettings
from heterosis.workers.worker import REFUSED, Worker

SETTINGS = WorkerSettings("processes", "cpu", "cpu", memory_bytes=4 * 10**9, lease_seconds=0.4)
QUEUE = "1g"
CANARY = (-1.0, -2.0)


def right(score=1.0):
    """An outcome of two items."""
    item_set = ItemSet(content_hash(["a", "b"]), ("a", "b"))
    return Outcome((Responses("words", item_set, (score, 0.0)),), {"accuracy": Estimate(score / 2, 0.1, 2)}, {"s": 1.0})


class FakeProcess:
    """Computes as it is told to: `does` is called for each candidate, with the request and whether to go on.

    Attributes:
        asked: the requests, canaries left out.
    """

    def __init__(self, does=lambda request, may_go_on: right()):
        self.does = does
        self.asked = []
        self.log_tail = "the last line\n"
        self.ended = False
        self.canary = CANARY
        self.refuses = None

    def ask(self, request, may_go_on, limit_seconds=None):
        if self.refuses:
            yield {"refused": "CheckpointError", "reason": self.refuses}
            return
        if request["do"] == "canary":
            yield {"loaded": {"torch": "9"}, "seconds": 0.1}
            yield {"canary": list(self.canary), "dtype": "float32"}
            return
        self.asked.append(request)
        for one in request["wanted"]:
            yield {"place": one["place"], "outcome": to_json(self.does(request, may_go_on))}

    def end(self):
        self.ended = True


class Fleet:
    """A study with candidates that wait for workers."""

    def __init__(self, store):
        self.store = store
        self.study = store.studies.create("first", {}, 1, {})
        store.studies.set_state(self.study.id, "running")
        self.asks = 0

    def propose(self, *weights, queue=QUEUE, together=False):
        """The ids of evaluations of a candidate for each weight, given to workers."""
        proposals = []
        for weight in weights:
            recipe = {"weight": weight}
            key = content_hash(recipe)
            proposals.append(NewProposal(Genome({"weight": weight}), recipe, key, key, "random"))
        found = self.store.asks.record(self.study.id, self.asks, proposals)
        self.asks += 1
        ids = [candidate.evaluations["search"].id for candidate in found]
        self.store.queue.assign(ids, queue, 100, company=ids[0] if together else None)
        return ids

    def worker(self, process=None, **settings):
        """A worker, and its process."""
        process = process or FakeProcess()
        return Worker(self.store, replace(SETTINGS, **settings), process=process), process

    def states(self, ids):
        return [self.store.queue.get(one).state for one in ids]

    def outcomes(self, evaluation_id):
        """How its attempts ended, in order."""
        from heterosis.storage.tables import attempts
        from sqlalchemy import select

        query = select(attempts.c.outcome).where(attempts.c.evaluation_id == evaluation_id).order_by(attempts.c.attempt)
        with self.store.database.read() as connection:
            return list(connection.scalars(query))


@pytest.fixture
def fleet(tmp_path):
    with Store.open(tmp_path / "a.db") as store:
        yield Fleet(store)


def test_a_worker_takes_what_waits_and_records_what_came_of_it(fleet):
    ids = fleet.propose(0.1, 0.2)
    worker, process = fleet.worker()
    assert [worker.work_one(), worker.work_one(), worker.work_one()] == [True, True, False]
    assert fleet.states(ids) == ["succeeded", "succeeded"]
    assert [request["recipes"] for request in process.asked] == [[{"weight": 0.1}], [{"weight": 0.2}]]
    stands = fleet.store.workers.get(worker.record.id)
    assert (stands.state, stands.done, stands.evaluation_id) == ("up", 2, None)
    assert fleet.store.provenance.of(ids[0]).environment == {"torch": "9"}


def test_it_leaves_what_is_not_for_it(fleet):
    fleet.propose(0.1, queue="default")
    fleet.propose(0.2, queue="80g")
    worker, _ = fleet.worker()
    assert not worker.work_one()


def test_a_study_that_is_paused_waits(fleet):
    fleet.propose(0.1)
    fleet.store.studies.set_state(fleet.study.id, "paused")
    worker, _ = fleet.worker()
    assert not worker.work_one()
    fleet.store.studies.set_state(fleet.study.id, "running")
    assert worker.work_one()


def test_a_failure_is_recorded_with_its_log(fleet):
    (one,) = fleet.propose(0.1)
    worker, _ = fleet.worker(FakeProcess(lambda *_: Failure("scores", "they are odd")))
    worker.work_one()
    assert fleet.states([one]) == ["failed"]
    assert fleet.store.queue.get(one).error_text == "they are odd"
    assert fleet.outcomes(one) == ["failed"]


@pytest.mark.parametrize("outcome", ["lost", "timeout", "memory"])
def test_what_kills_its_process_is_tried_three_times_and_then_quarantined(outcome, fleet):
    poison, sound = fleet.propose(0.1, 0.2)

    def die(request, _may_go_on):
        if request["recipes"] == [{"weight": 0.1}]:
            raise ChildLostError(Ending(outcome, 9, None, "Killed: it took too much"))
        return right()

    worker, _ = fleet.worker(FakeProcess(die))
    while worker.work_one():
        pass
    assert fleet.states([poison, sound]) == ["failed", "succeeded"]
    assert fleet.outcomes(poison) == [outcome] * 3
    found = fleet.store.queue.get(poison)
    assert found.error_kind == outcome
    assert "3 times" in found.error_text
    assert "Signal 9 ended the last" in found.error_text
    assert found.error_text.endswith("The last that it wrote: Killed: it took too much")


def test_out_of_memory_is_tried_again_by_whoever_has_more(fleet):
    (one,) = fleet.propose(0.1)
    answers = [Failure("memory", "no room"), right()]
    worker, _ = fleet.worker(FakeProcess(lambda *_: answers.pop(0)))
    assert [worker.work_one(), worker.work_one()] == [True, True]
    assert fleet.outcomes(one) == ["memory", "succeeded"]


def test_company_is_computed_together_and_with_those_that_are_over(fleet):
    ids = fleet.propose(0.1, 0.2, 0.3, together=True)
    fleet.store.results.finish(ids[0], fleet.store.queue.claim(ids[0], "another"), right().responses, {}, {})
    worker, process = fleet.worker()
    assert [worker.work_one(), worker.work_one()] == [True, False]
    (request,) = process.asked
    assert request["recipes"] == [{"weight": 0.1}, {"weight": 0.2}, {"weight": 0.3}]
    assert [one["place"] for one in request["wanted"]] == [1, 2]
    assert fleet.states(ids) == ["succeeded"] * 3


def test_in_company_with_a_poisonous_one_the_others_succeed_alone(fleet):
    ids = fleet.propose(0.1, 0.2, 0.3, together=True)

    def die(request, _may_go_on):
        if {"weight": 0.2} in request["recipes"]:
            raise ChildLostError(Ending("lost", 11))
        return right()

    worker, _ = fleet.worker(FakeProcess(die))
    while worker.work_one():
        pass
    assert fleet.states(ids) == ["succeeded", "failed", "succeeded"]


def test_the_lease_is_beaten_while_it_computes(fleet):
    (one,) = fleet.propose(0.1)
    taken_back = []

    def slowly(_request, may_go_on):
        for _ in range(12):
            threading.Event().wait(0.1)
            taken_back.extend(fleet.store.queue.reap())
            assert may_go_on()
        return right()

    worker, _ = fleet.worker(FakeProcess(slowly), lease_seconds=0.8)
    worker.work_one()
    assert taken_back == []
    assert fleet.outcomes(one) == ["succeeded"]


def test_a_result_that_comes_too_late_is_fenced_off(fleet):
    (one,) = fleet.propose(0.1)
    store = fleet.store

    def frozen(request, may_go_on):
        store.queue.reap(dead=lambda owner: True)  # as if it had been silent for longer than its lease
        store.results.finish(one, store.queue.claim(one, "another"), right(0.5).responses, {}, {})
        return right()

    worker, _ = fleet.worker(FakeProcess(frozen), lease_seconds=60.0)
    worker.work_one()
    assert fleet.outcomes(one) == ["lost", "succeeded"]
    assert store.results.responses(store.queue.get(one).candidate_id, "search")["words"].scores == (0.5, 0.0)
    assert store.workers.get(worker.record.id).done == 0


def test_when_the_lease_is_lost_the_computation_is_given_up(fleet):
    (one,) = fleet.propose(0.1)

    def until_told(_request, may_go_on):
        fleet.store.queue.reap(dead=lambda owner: True)
        for _ in range(300):
            if not may_go_on():
                raise ChildLostError(Ending("released"))
            threading.Event().wait(0.05)
        raise AssertionError("nobody told it to stop")

    worker, _ = fleet.worker(FakeProcess(until_told))
    worker.work_one()
    assert fleet.outcomes(one) == ["lost"]
    assert fleet.states([one]) == ["queued"]


def test_what_is_cancelled_while_it_runs_ends_so(fleet):
    (one,) = fleet.propose(0.1)

    def cancelled(_request, may_go_on):
        fleet.store.queue.cancel(one)
        for _ in range(300):
            if not may_go_on():
                raise ChildLostError(Ending("released"))
            threading.Event().wait(0.05)
        raise AssertionError("nobody told it to stop")

    worker, _ = fleet.worker(FakeProcess(cancelled))
    worker.work_one()
    assert fleet.states([one]) == ["cancelled"]
    assert fleet.outcomes(one) == ["cancelled"]
    assert not worker.work_one()


def test_draining_hands_back_what_outlasts_the_grace_and_takes_nothing_more(fleet):
    ids = fleet.propose(0.1, 0.2)
    made = {}

    def drained(_request, may_go_on):
        made["worker"].drain(0.0)
        assert not may_go_on() or not may_go_on()
        raise ChildLostError(Ending("released"))

    made["worker"], process = fleet.worker(FakeProcess(drained))
    assert made["worker"].work_one()
    assert not made["worker"].work_one()
    assert fleet.states(ids) == ["queued", "queued"]
    assert fleet.outcomes(ids[0]) == ["released"]
    assert fleet.store.queue.get(ids[0]).max_attempts == 4, "the attempt does not count"
    assert fleet.store.workers.get(made["worker"].record.id).state == "draining"
    made["worker"].stop()
    assert process.ended
    assert fleet.store.workers.get(made["worker"].record.id).state == "gone"


def test_a_study_that_it_cannot_load_is_left_to_others(fleet):
    (one,) = fleet.propose(0.1)
    process = FakeProcess()
    process.refuses = "the checkpoint is another"
    worker, _ = fleet.worker(process)
    assert [worker.work_one(), worker.work_one()] == [True, False]
    assert fleet.states([one]) == ["queued"]
    (event,) = fleet.store.events.of_type(fleet.study.id, REFUSED)
    assert (event.subject_id, event.payload["reason"]) == (worker.record.id, "the checkpoint is another")
    other, _ = fleet.worker()
    assert other.work_one()


def test_a_worker_whose_canary_disagrees_takes_nothing_more(fleet, monkeypatch):
    first, second = fleet.propose(0.1, 0.2)
    sound, _ = fleet.worker()
    assert sound.work_one()
    monkeypatch.setattr("heterosis.workers.worker.this_process", lambda: "elsewhere:0:1:1")
    process = FakeProcess()
    process.canary = (-1.0, -9.0)
    drifted, _ = fleet.worker(process)
    assert [drifted.work_one(), drifted.work_one()] == [True, False]
    assert fleet.states([first, second]) == ["succeeded", "queued"]
    assert fleet.store.workers.get(drifted.record.id).state == "drifted"
    assert process.asked == []


def test_a_database_that_is_away_for_a_while_costs_nothing(fleet, monkeypatch):
    (one,) = fleet.propose(0.1)
    finish, failures = fleet.store.results.finish, [StorageError("away"), StorageError("away")]

    def away(*arguments, **named):
        if failures:
            raise failures.pop()
        return finish(*arguments, **named)

    monkeypatch.setattr(fleet.store.results, "finish", away)
    monkeypatch.setattr("heterosis.workers.holding._RETRY_SECONDS", 0.01)
    worker, _ = fleet.worker(lease_seconds=60.0)
    worker.work_one()
    assert fleet.outcomes(one) == ["succeeded"]


def test_a_database_that_is_away_for_longer_than_the_lease_costs_the_attempt(fleet, monkeypatch):
    (one,) = fleet.propose(0.1)

    def away(*_arguments, **_named):
        raise StorageError("away")

    for method in ("finish", "fail"):
        monkeypatch.setattr(fleet.store.results, method, away)
    monkeypatch.setattr(fleet.store.queue, "beat", away)
    monkeypatch.setattr("heterosis.workers.holding._RETRY_SECONDS", 0.01)
    worker, _ = fleet.worker()
    worker.work_one()
    monkeypatch.undo()
    assert fleet.states([one]) == ["running"]
    assert fleet.store.queue.reap(dead=lambda owner: True) == [one]
    assert fleet.outcomes(one) == ["lost"]


def test_other_studies_are_not_touched_by_a_worker_for_one(fleet):
    fleet.propose(0.1)
    worker, _ = fleet.worker(studies=("another",))
    assert not worker.work_one()
    mine, _ = fleet.worker(studies=(fleet.study.id,))
    assert mine.work_one()
