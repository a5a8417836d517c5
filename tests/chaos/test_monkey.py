"""A study whose workers, broker, database and leader are killed at random moments ends as if nothing had happened."""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest
from heterosis.core.errors import StorageError
from heterosis.storage.tables import attempts, evaluations
from heterosis.testing.invariants import check_finished
from sqlalchemy import select

pytestmark = [pytest.mark.server, pytest.mark.slow]

CANDIDATES, WORKERS = 200, 4
GIVEN_UP_SECONDS = 2400.0
DEEDS = {"worker": 20, "broker": 2, "database": 1, "leader": 2}


class Monkey:
    """Does its deeds one after the other, each when so many evaluations are over; who is hit is up to chance."""

    def __init__(self, seed, fleet, coordinator, broker, database):
        self._chance = random.Random(seed)
        self._fleet, self._store = fleet, fleet.store
        self._coordinator, self._broker, self._database = coordinator, broker, database
        deeds = list(Counter(DEEDS).elements())
        self._chance.shuffle(deeds)
        moments = sorted(self._chance.sample(range(4, CANDIDATES * 3 // 4), len(deeds)))
        self._plan = list(zip(moments, deeds, strict=True))
        self.done = Counter()
        self.hit = set()
        self.log = []

    def run(self):
        """Until the study is complete; a leader that ends by itself (its database is away) is started again."""
        began = time.monotonic()
        while True:
            assert time.monotonic() - began < GIVEN_UP_SECONDS, f"it never ends: {self.log}, {self.done}"
            status = self._coordinator.process.poll()
            if status == 0:
                return
            if status is not None:
                self.done["leader ended"] += 1
                time.sleep(1.0)
                self._coordinator.start()
            with suppress(StorageError):
                over = self._over()
                if self._plan and over >= self._plan[0][0] and self._do(self._plan[0][1]):
                    self.log.append((round(time.monotonic(), 1), over, self._plan[0]))
                    self.done[self._plan.pop(0)[1]] += 1  # nothing between may fail, or it would be done twice
            time.sleep(0.02)

    def _do(self, deed):
        """Whether it could be done; if not, it is tried again."""
        if deed == "worker":
            return self._kill_worker()
        if deed == "leader":
            return self._kill_leader()
        if deed == "broker":
            self._broker.kill()
            self._broker.start()
            return True
        self.hit |= {worker.owner for worker in self._store.workers.live()}
        self._database.kill()
        self._database.start()
        return True

    def _over(self):
        with self._store.database.read() as connection:
            return len(connection.execute(select(evaluations.c.id).where(evaluations.c.state == "succeeded")).all())

    def _kill_worker(self):
        """A third crash in a row would rightly count as the candidate's own fault, so it is spared that."""
        at_work = self._fleet.at_work()
        records = {one.id: one for one in self._store.queue.several([worker.evaluation_id for worker in at_work])}
        spared = [one.id for one in records.values() if one.attempt >= one.max_attempts - 1]
        victims = [one for one in at_work if one.evaluation_id in records and one.evaluation_id not in spared]
        if not victims:
            return False
        victim = self._chance.choice(victims)
        child = self._fleet.child(victim) if self._chance.random() < 0.5 else None
        with suppress(psutil.Error, ProcessLookupError):
            child.kill() if child is not None else os.kill(victim.pid, signal.SIGKILL)
            self.hit.add(victim.owner)
            return True
        return False

    def _kill_leader(self):
        if "leads" not in self._coordinator.said:
            return False
        self._coordinator.kill()
        self._coordinator.start()
        return True


def lost_by(study):
    """The workers whose attempts were lost, once for each."""
    with study.store.database.read() as connection:
        return list(connection.scalars(select(attempts.c.worker).where(attempts.c.outcome == "lost")))


@pytest.mark.parametrize("seed", [1])
def test_a_monkey_changes_nothing(seed, study, fleet, coordinator, seen, valkey, postgresql_server, tmp_path):
    whole = study(tmp_path / "whole.db")
    whole.optimize(CANDIDATES)
    hurt = study(postgresql_server.url)
    workers = fleet(hurt, WORKERS, broker=valkey.url)
    leader = coordinator(hurt, CANDIDATES, "celery", broker=valkey.url)
    monkey = Monkey(seed, workers, leader, valkey, postgresql_server)
    monkey.run()
    print(monkey.log, monkey.done, leader.log)
    assert {deed: monkey.done[deed] for deed in DEEDS} == DEEDS, f"seed {seed}: {monkey.done}"
    check_finished(hurt.store, hurt.record.id)
    assert set(lost_by(hurt)) <= monkey.hit, f"seed {seed}: attempts were lost that nobody has hurt"
    for expected, found in zip(seen(whole), seen(hurt), strict=True):
        assert found == expected, f"seed {seed}"
