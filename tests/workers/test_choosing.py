"""What a worker tells its scheduler of works and workers comes from the record."""

import pytest
from heterosis.core.contracts.scheduler import Scheduler
from heterosis.core.genome import Genome, content_hash
from heterosis.storage import NewProposal, Store
from heterosis.workers import choosing
from heterosis.workers.choosing import Choosing


class Asked(Scheduler):
    """Takes the first, and remembers what it was asked."""

    name = "asked"

    def choose(self, worker, waiting, fleet):
        self.asked = (worker, list(waiting), list(fleet))
        return waiting[0]


class Fleet:
    def __init__(self, store):
        self.store = store
        self.study = store.studies.create("first", {}, 1, {})
        store.studies.set_state(self.study.id, "running")
        self.workers = [self._register(f"elsewhere:0:{n}:1", price) for n, price in enumerate((1.0, 3.0))]
        self.scheduler = Asked()
        self.choosing = Choosing(store, self.scheduler, self.workers[0])

    def _register(self, owner, price):
        device = {"name": "cuda:0", "type": "A10G", "memory_bytes": 24 * 10**9, "price_per_hour": price}
        return self.store.workers.register(owner, "elsewhere", 1, "0.1", "celery", ["1g"], device)

    def propose(self, *genomes, ask=0):
        keys = [content_hash({"ask": ask, **genome}) for genome in genomes]
        proposals = [
            NewProposal(Genome(genome), dict(genome), key, key, "random")
            for genome, key in zip(genomes, keys, strict=True)
        ]
        found = self.store.asks.record(self.study.id, ask, proposals)
        ids = [candidate.evaluations["search"].id for candidate in found]
        self.store.queue.assign(ids, "1g", need_bytes=7, priority=2)
        return ids

    def take(self, worker=0):
        """What the scheduler was asked when this worker took work."""
        taken = []

        def choose(waiting):
            taken.append(self.choosing.choose(waiting))
            return taken[-1]

        self.choosing.look()
        claims = self.store.queue.take(self.workers[worker].owner, ["1g"], choose)
        return claims, taken[0] if taken else None


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "_LOOK_SECONDS", 0.0)
    with Store.open(tmp_path / "a.db") as store:
        yield Fleet(store)


def test_the_scheduler_sees_what_waits_and_who_there_is(fleet):
    ids = fleet.propose({"a": 1.0}, {"a": 2.0})
    claims, _ = fleet.take()
    worker, waiting, standings = fleet.scheduler.asked
    assert [claim.evaluation.id for claim in claims] == ids[:1]
    assert [(work.id, work.priority, work.need_bytes, work.loaded, work.near) for work in waiting] == [
        (ids[0], 2, 7, False, 0.0),
        (ids[1], 2, 7, False, 0.0),
    ]
    assert (worker.device_type, worker.memory_bytes, worker.price_per_hour) == ("A10G", 24 * 10**9, 1.0)
    assert [standing.price_per_hour for standing in standings] == [1.0, 3.0]


def test_what_is_near_the_resident_candidate_is_known(fleet):
    fleet.propose({"a": 1.0, "b": 1.0})
    _, taken = fleet.take()
    fleet.choosing.evaluated(taken)
    fleet.propose({"a": 1.0, "b": 9.0}, {"a": 5.0, "b": 6.0}, ask=1)
    fleet.take()
    assert [(work.near, work.loaded) for work in fleet.scheduler.asked[1]] == [(0.5, True), (0.0, True)]


def test_who_was_faster_lately_is_faster(fleet):
    for worker, seconds in ((0, 2.0), (1, 4.0)):
        for evaluation_id in fleet.propose(*({"w": float(worker), "n": float(n)} for n in range(3)), ask=worker):
            attempt = fleet.store.queue.claim(evaluation_id, fleet.workers[worker].owner)
            fleet.store.results.finish(evaluation_id, attempt, [], {}, {})
            _took(fleet.store, evaluation_id, seconds)
    fleet.propose({"z": 1.0}, ask=2)
    fleet.take()
    _, (work,), (first, second) = fleet.scheduler.asked
    assert work.seconds == pytest.approx(3.0, rel=0.4)
    assert first.speed / second.speed == pytest.approx(2.0)


def test_one_that_is_busy_says_for_how_long(fleet):
    fleet.store.workers.evaluates(fleet.workers[1].id, "something")
    fleet.propose({"a": 1.0})
    fleet.take()
    _, _, (mine, other) = fleet.scheduler.asked
    assert mine.busy_seconds_left == 0.0
    assert other.busy_seconds_left > 0.0


def _took(store, evaluation_id, seconds):
    from datetime import timedelta

    from heterosis.storage.tables import evaluations
    from sqlalchemy import update

    record = store.queue.get(evaluation_id)
    change = {"started_at": record.finished_at - timedelta(seconds=seconds)}
    with store.database.write() as connection:
        connection.execute(update(evaluations).where(evaluations.c.id == evaluation_id).values(**change))
