"""What executors do whose workers are elsewhere: announce no more than is needed, again when it is lost, and wait."""

import logging
from types import SimpleNamespace

import pytest
from heterosis.core.errors import BrokerError, ConfigurationError, StorageError
from heterosis.core.genome import Genome, content_hash
from heterosis.storage import NewProposal, Store
from heterosis.workers import dispatch
from heterosis.workers.dispatch import FleetExecutor
from heterosis.workers.worker import REFUSED


class Announcer(FleetExecutor):
    """Notes what it announces; `work` is what workers do meanwhile, called once a second of waiting."""

    kind = "test"

    def __init__(self, store, together=False, **options):
        super().__init__(store, SimpleNamespace(computes_together=together, spec=None), **options)
        self.announced = []
        self.down = False
        self.work = lambda: None

    def _publish(self, records):
        if self.down:
            raise BrokerError("down")
        self.announced.append([record.id for record in records])

    def _tend(self):
        self.work()


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "a.db") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(dispatch, "foreseen_bytes", lambda spec: 3 * 10**9)
    monkeypatch.setattr(dispatch, "_TEND_SECONDS", 0.02)


@pytest.fixture
def propose(store):
    """`propose(3)`: the ids of evaluations of as many candidates of a running study."""
    study = store.studies.create("first", {}, 1, {})
    store.studies.set_state(study.id, "running")

    def make(count):
        keys = [content_hash({"n": n}) for n in range(count)]
        proposals = [NewProposal(Genome({"n": float(n)}), {"n": n}, key, key, "random") for n, key in enumerate(keys)]
        return [candidate.evaluations["search"].id for candidate in store.asks.record(study.id, 0, proposals)]

    return make


def finish(store, *ids):
    for one in ids:
        store.results.finish(one, store.queue.claim(one, "somebody"), [], {}, {})


def register(store, count=1):
    return [store.workers.register(f"w{n}", "there", n, "0.1", "celery", ["4g"], {}).id for n in range(count)]


def test_what_is_submitted_waits_in_the_queue_of_its_memory_class(store, propose):
    ids = propose(2)
    Announcer(store, priority=4).submit(ids)
    found = store.queue.several(ids)
    assert {(one.queue, one.priority, one.need_bytes, one.company) for one in found} == {("4g", 4, 3 * 10**9, None)}


def test_what_can_be_computed_together_stays_together(store, propose):
    ids = propose(10)
    Announcer(store, together=True).submit(ids)
    companies = [one.company for one in store.queue.several(ids)]
    assert companies == [ids[0]] * 8 + [ids[8]] * 2


def test_no_more_is_announced_than_workers_can_begin_soon(store, propose):
    ids = propose(9)
    register(store, 2)
    executor = Announcer(store)
    executor.submit(ids)
    assert executor.announced == [ids[:4]]
    finish(store, *ids[:3])
    assert sorted(executor.wait()) == ids[:3]
    assert executor.announced[1:] == [ids[4:7]]


def test_everything_submitted_comes_back_once(store, propose):
    ids = propose(5)
    executor = Announcer(store)
    executor.submit(ids)
    finish(store, ids[3])
    assert executor.wait() == [ids[3]]
    executor.work = lambda: finish(store, *(one for one in ids if store.queue.get(one).state == "queued"))
    assert sorted([*executor.wait(), *executor.wait()]) == sorted(set(ids) - {ids[3]})
    assert executor.wait() == []


def test_a_broker_that_is_down_is_told_later(store, propose):
    (one,) = propose(1)
    executor = Announcer(store)
    executor.down = True
    executor.submit([one])
    assert executor.announced == []
    seconds = []

    def work():
        seconds.append(1)
        executor.down = len(seconds) < 3
        if len(seconds) > 5:
            finish(store, one)

    executor.work = work
    assert executor.wait() == [one]
    assert executor.announced == [[one]]


def test_a_message_that_was_lost_is_sent_again(store, propose):
    (one,) = propose(1)
    executor = Announcer(store, lease_seconds=0.05)
    executor.submit([one])
    executor.work = lambda: finish(store, one) if len(executor.announced) > 2 else None
    assert executor.wait() == [one]
    assert executor.announced[:3] == [[one]] * 3


def test_what_a_dead_worker_held_is_taken_back_and_announced_again(store, propose):
    (one,) = propose(1)
    executor = Announcer(store)
    executor.submit([one])
    store.queue.claim(one, "gone", lease_seconds=0.0)

    def work():
        if store.queue.get(one).state == "queued":
            finish(store, one)

    executor.work = work
    assert executor.wait() == [one]
    assert store.queue.get(one).attempt == 2


def test_dead_workers_are_seen_to_while_results_keep_coming(store, propose):
    ids = propose(4)
    executor = Announcer(store)
    executor.submit(ids)
    store.queue.claim(ids[0], "gone", lease_seconds=0.0)
    for one in ids[1:]:
        finish(store, one)
        executor._tended = 0.0
        assert executor.wait() == [one]
    assert store.queue.get(ids[0]).state == "queued"


def test_a_result_that_is_taken_back_is_waited_for_again(store, propose):
    ids = propose(2)
    executor = Announcer(store)
    executor.work = lambda: finish(store, *(one for one in ids if store.queue.get(one).state == "queued"))
    states, taken = store.queue.states, []

    def taken_back(evaluation_ids):
        found = states(evaluation_ids)
        if len(taken) == 0 and set(found.values()) == {"succeeded"} and not executor._outstanding:
            taken.append(1)
            return found | {ids[0]: "queued"}
        return found

    store.queue.states = taken_back
    assert sorted(executor.run(ids)) == sorted(ids)
    assert taken


def test_a_study_that_every_worker_refuses_is_given_up_with_the_reason(store, propose):
    ids = propose(1)
    first, second = register(store, 2)
    executor = Announcer(store)
    executor.submit(ids)
    study_id = store.queue.study_of(ids[0])

    def refuse():
        store.events.note(study_id, REFUSED, first, {"reason": "no such plugin"})
        if len(executor.announced) > 5 or executor._look > 0.05:
            store.events.note(study_id, REFUSED, second, {"reason": "no such plugin"})

    executor.work = refuse
    with pytest.raises(ConfigurationError, match=r"no worker can evaluate this study\. there: no such plugin"):
        executor.wait()


def test_where_no_worker_is_up_it_says_so_once(store, propose, monkeypatch, caplog):
    monkeypatch.setattr(dispatch, "_ALONE_SECONDS", 0.05)
    (one,) = propose(1)
    executor = Announcer(store)
    executor.submit([one])
    looks = []

    def work():
        looks.append(1)
        if len(looks) > 12:
            finish(store, one)

    executor.work = work
    with caplog.at_level(logging.WARNING):
        executor.wait()
    assert [record.message for record in caplog.records if "no worker is up" in record.message] == [
        "no worker is up, so nothing is evaluated; start one with `heterosis worker`"
    ]


def test_a_database_that_is_away_is_waited_for(store, propose, monkeypatch):
    (one,) = propose(1)
    executor = Announcer(store)
    executor.submit([one])
    finish(store, one)
    states, away = store.queue.states, [StorageError("away"), StorageError("away")]

    def sometimes(evaluation_ids):
        if away:
            raise away.pop()
        return states(evaluation_ids)

    monkeypatch.setattr(store.queue, "states", sometimes)
    assert executor.wait() == [one]


def test_what_was_submitted_before_an_interruption_is_forgotten(store, propose):
    ids = propose(2)
    executor = Announcer(store)
    executor.submit(ids)
    executor.recover(store.queue.study_of(ids[0]))
    assert executor.wait() == []
