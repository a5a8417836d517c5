"""Whatever leaders, workers and accidents do to a store, in any order, its record stays whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from heterosis.core.errors import StorageError
from heterosis.core.estimate import Estimate
from heterosis.core.genome import Genome
from heterosis.storage import Claim, Ending, ItemSet, NewProposal, Responses, Store, ToldRecord
from heterosis.storage.tables import evaluations, study_leases
from heterosis.testing.invariants import check_record
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Update, select, update

pytestmark = pytest.mark.slow

QUEUES = ("small", "large")
FEW = 6
"""So few candidates that each has a long life."""
WORKERS = ("worker-1", "worker-2", "worker-3")
LEADERS = ("leader-1", "leader-2")
_SETS = ItemSet("a" * 64, ("q1", "q2"))


class CrashError(Exception):
    """In the middle of a transaction."""


def alive(_owner: str) -> bool:
    return False


class StoreMachine(RuleBasedStateMachine):
    """A store, and what must be true of it by what was done; every handle that was ever given stays in use."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="store-"))
        self.url = f"sqlite:///{self.folder / 'a.db'}"
        self.store = Store.open(self.url)
        self.study = self.store.studies.create("first", {}, seed=1, plugin_versions={})
        self.store.studies.set_state(self.study.id, "running")
        self.proposed = 0
        self.asked = 0
        self.told = 0
        self.handles: list[tuple[str, int]] = []
        self.leader: tuple[str, int] | None = None
        self.former: list[int] = []
        self.results: dict[str, int] = {}

    @initialize()
    def lead_at_first(self) -> None:
        self.leader = (LEADERS[0], self.store.leads.acquire(self.study.id, LEADERS[0], dead=alive))
        self.ask(count=3, repeated=False)
        self.store.queue.assign(self._ids(), QUEUES[0])

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    # What the leader does

    @precondition(lambda self: self.proposed < FEW)
    @rule(count=st.integers(1, 2), repeated=st.booleans())
    def ask(self, count: int, repeated: bool) -> None:
        """`repeated`: the last proposal is one that was made before."""
        numbers = list(range(self.proposed, self.proposed + count))
        if repeated and self.proposed:
            numbers.append(0)
        parents = (0,) if self.proposed else ()
        found = self._led.asks.record(self.study.id, self.asked, [_proposal(number, parents) for number in numbers])
        assert [candidate.number for candidate in found] == numbers
        again = self._led.asks.record(self.study.id, self.asked, [_proposal(10_000, ())])
        assert again == found, "an ask that is recorded stays as it is"
        self.proposed += count
        self.asked += 1

    @rule()
    def tell(self) -> None:
        """The next ask, if it is over."""
        waiting = [ask for ask in self.store.asks.all(self.study.id) if ask.told_at is None][:1]
        for ask in waiting:
            if all(candidate.is_over("search") for candidate in ask.candidates):
                measured = [candidate.measurements.get("search") for candidate in ask.candidates]
                told = [None if not one else ToldRecord((one["accuracy"].mean,), (0.0,)) for one in measured]
                self._led.asks.mark_told(self.study.id, ask.number, told)
                self._led.asks.mark_told(self.study.id, ask.number, [None] * len(told))
                assert self.store.asks.all(self.study.id)[ask.number].told == tuple(told), "the first time counts"
                self.told += 1

    @rule(leader=st.sampled_from(LEADERS), died=st.booleans())
    def lead(self, leader: str, died: bool) -> None:
        try:
            epoch = self.store.leads.acquire(self.study.id, leader, dead=lambda owner: died)
        except StorageError:
            assert not died
            return
        assert died
        assert self.leader is not None
        self.former.append(self.leader[1])
        self.leader = (leader, epoch)

    @precondition(lambda self: self.former)
    @rule(data=st.data())
    def wake_as_a_former_leader(self, data: st.DataObject) -> None:
        epoch = data.draw(st.sampled_from(self.former))
        late = self.store.led(self.study.id, epoch)
        for write in (
            lambda: late.asks.record(self.study.id, self.asked, [_proposal(9_999, ())]),
            lambda: late.studies.set_state(self.study.id, "failed"),
        ):
            with pytest.raises(StorageError, match="another process leads this study since"):
                write()
        assert not self.store.leads.renew(self.study.id, epoch)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), queue=st.sampled_from(QUEUES), priority=st.integers(0, 2), together=st.booleans())
    def assign(self, data: st.DataObject, queue: str, priority: int, together: bool) -> None:
        ids = data.draw(st.lists(st.sampled_from(self._ids()), min_size=1, max_size=3, unique=True).map(sorted))
        self.store.queue.assign(ids, queue, 10, priority, ids[0] if together else None)
        untold = {one.id for one in self.store.queue.unpublished(ids, again_after=0.0)}
        assert untold == {one.id for one in self.store.queue.several(ids) if one.state == "queued"}
        self.store.queue.published(ids)

    @rule(dead=st.sets(st.sampled_from(WORKERS)), counted=st.booleans())
    def reap(self, dead: set[str], counted: bool) -> None:
        running = {one.id: one for one in self._all() if one.state == "running"}
        taken = self.store.queue.reap(self.study.id, dead=lambda owner: owner in dead, counted=counted)
        assert set(taken) == {one.id for one in running.values() if one.lease_owner in dead or self._lapsed(one)}
        for after in self.store.queue.several(taken):
            assert after.state != "running"
            assert after.max_attempts == running[after.id].max_attempts + (not counted)

    # What workers do

    @rule(data=st.data(), worker=st.sampled_from(WORKERS))
    def take_over(self, data: st.DataObject, worker: str) -> None:
        """What another has been silent about for too long, or lost."""
        running = [one for one in self._all() if one.state == "running"]
        if not running:
            return
        chosen = data.draw(st.sampled_from(running))
        if data.draw(st.booleans()):
            self.lapse(chosen.id)
        else:
            self.store.queue.lose(chosen.id, chosen.attempt, Ending("lost"))
        attempt = self.store.queue.claim(chosen.id, worker)
        if attempt is not None:
            self.handles.append((chosen.id, attempt))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), worker=st.sampled_from(WORKERS))
    def claim(self, data: st.DataObject, worker: str) -> None:
        before = self.store.queue.get(data.draw(st.sampled_from(self._ids())))
        attempt = self.store.queue.claim(before.id, worker)
        free = before.state == "queued" or (before.state == "running" and self._lapsed(before))
        free = free and before.attempt < before.max_attempts and before.cancel_requested_at is None
        assert attempt == (before.attempt + 1 if free else None)
        if attempt is not None:
            self.handles.append((before.id, attempt))

    @rule(worker=st.sampled_from(WORKERS), queues=st.sets(st.sampled_from(QUEUES), min_size=1), data=st.data())
    def take(self, worker: str, queues: set[str], data: st.DataObject) -> None:
        claims: list[Claim] = self.store.queue.take(worker, queues, lambda waiting: data.draw(st.sampled_from(waiting)))
        assert len({claim.evaluation.id for claim in claims}) == len(claims)
        for claim in claims:
            assert claim.evaluation.lease_owner == worker
            self.handles.append((claim.evaluation.id, claim.attempt))

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), what=st.sampled_from(["beat", "finish", "finish", "fail", "lose", "memory", "release"]))
    def write(self, data: st.DataObject, what: str) -> None:
        """With any handle that was ever given: only the latest may."""
        evaluation_id, attempt = data.draw(st.sampled_from(self.handles))
        before = self.store.queue.get(evaluation_id)
        holds = before.state == "running" and before.attempt == attempt
        held = {
            "beat": lambda: self.store.queue.beat(evaluation_id, attempt, 60.0, 0.5),
            "finish": lambda: self._finish(evaluation_id, attempt),
            "fail": lambda: self.store.results.fail(evaluation_id, attempt, "nan", "not a number", "log"),
            "lose": lambda: self.store.queue.lose(evaluation_id, attempt, Ending("lost", 9, None, "log")),
            "memory": lambda: self.store.queue.lose(evaluation_id, attempt, Ending("memory")),
            "release": lambda: self.store.queue.release(evaluation_id, attempt),
        }[what]()
        cancelled = what == "beat" and before.cancel_requested_at is not None
        assert held == (holds and not cancelled)
        if not holds:
            assert self.store.queue.get(evaluation_id) == before, "who does not hold it changes nothing"
        elif what == "release":
            after = self.store.queue.get(evaluation_id)
            assert (after.state, after.max_attempts) == ("queued", before.max_attempts + 1), "it does not count"
        elif what == "finish":
            self.results[evaluation_id] = attempt

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        """One that is under way; its result is written once, however often that is tried."""
        running = [one for one in self._all() if one.state == "running"]
        if not running:
            return
        one = data.draw(st.sampled_from(running))
        assert [self._finish(one.id, one.attempt) for _ in range(2)] == [True, False]
        self.results[one.id] = one.attempt

    @precondition(lambda self: self.handles)
    @rule()
    def come_late(self) -> None:
        """All who held an evaluation once and do not now: they change nothing."""
        before = {one.id: one for one in self._all()}
        for id_, attempt in self.handles:
            if before[id_].state != "running" or before[id_].attempt != attempt:
                assert not self.store.queue.beat(id_, attempt)
                assert not self.store.queue.release(id_, attempt)
                assert not self.store.queue.lose(id_, attempt, Ending("lost"))
                assert not self.store.results.fail(id_, attempt, "nan", "not a number")
                assert not self._finish(id_, attempt)
        assert {one.id: one for one in self._all()} == before

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), sparing=st.integers(0, 3))
    def cancel(self, data: st.DataObject, sparing: int) -> None:
        if sparing:  # most of the time, for what is cancelled has no more adventures
            return
        before = self.store.queue.get(data.draw(st.sampled_from(self._ids())))
        assert self.store.queue.cancel(before.id) == (before.state in ("queued", "running"))

    # Accidents

    @rule(data=st.data())
    def fall_silent(self, data: st.DataObject) -> None:
        running = [one.id for one in self._all() if one.state == "running"]
        if running:
            self.lapse(data.draw(st.sampled_from(running)))

    def lapse(self, evaluation_id: str) -> None:
        """Its lease runs out, as if its holder had been silent."""
        with self.store.database.write() as connection:
            long_ago = self.store.database.now(connection) - timedelta(days=1)
            silent = update(evaluations).where(evaluations.c.id == evaluation_id)
            connection.execute(silent.values(lease_expires_at=long_ago))

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.url)

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def crash_in_the_middle(self, data: st.DataObject) -> None:
        """A process ends within a transaction that has written: nothing of it is there, and nobody waits for it."""
        evaluation_id, attempt = data.draw(st.sampled_from(self.handles))
        before = self.store.queue.get(evaluation_id)
        abandoned = Store.open(self.url)
        change = update(evaluations).where(evaluations.c.id == evaluation_id)
        _crash_in(abandoned, change.values(attempt=attempt + 7))
        abandoned.close()
        assert self.store.queue.get(evaluation_id) == before

    @rule()
    def lose_power_in_the_middle(self) -> None:
        """The files as they are while a transaction is under way, opened again elsewhere."""
        copy = self.folder / "copy"
        copy.mkdir()

        def save() -> None:
            for file in self.folder.glob("a.db*"):
                if not file.name.endswith("-shm"):  # memory, which a loss of power loses
                    shutil.copy(file, copy)

        other = Store.open(self.url)
        _crash_in(other, update(evaluations).values(attempt=evaluations.c.attempt + 7), save)
        other.close()
        with Store.open(f"sqlite:///{copy / 'a.db'}") as found:
            check_record(found, self.study.id)
            assert found.queue.parts(self.study.id) == self.store.queue.parts(self.study.id)
        shutil.rmtree(copy)

    # What is true at every moment

    @invariant()
    def the_record_is_whole(self) -> None:
        check_record(self.store, self.study.id)

    @invariant()
    def nothing_is_lost_and_nothing_comes_twice(self) -> None:
        succeeded = {one.id: one.attempt for one in self._all() if one.state == "succeeded"}
        assert succeeded == self.results
        assert len(self.store.results.responses_of_study(self.study.id, "search")) == len(succeeded)
        asks = self.store.asks.all(self.study.id)
        assert (len(asks), sum(ask.told_at is not None for ask in asks)) == (self.asked, self.told)
        assert self.store.candidates.count(self.study.id) == self.proposed

    @invariant()
    def one_leads(self) -> None:
        if self.leader is not None:
            with self.store.database.read() as connection:
                row = connection.execute(select(study_leases)).one()
            assert (row.owner, row.epoch) == self.leader

    @property
    def _led(self) -> Store:
        assert self.leader is not None
        return self.store.led(self.study.id, self.leader[1])

    def _finish(self, evaluation_id: str, attempt: int) -> bool:
        answers = Responses("maths", _SETS, (0.5, attempt / 100))
        return self.store.results.finish(evaluation_id, attempt, [answers], {"accuracy": Estimate(0.5, 0.1, 2)}, {})

    def _all(self) -> list[Any]:
        return [one for parts in self.store.queue.parts(self.study.id).values() for one in parts]

    def _ids(self) -> list[str]:
        return sorted(one.id for one in self._all())

    def _lapsed(self, one: Any) -> bool:
        with self.store.database.read() as connection:
            return bool(one.lease_expires_at < self.store.database.now(connection))


def _crash_in(store: Store, change: Update, before: Callable[[], object] = lambda: None) -> None:
    with suppress(CrashError), store.database.write() as connection:
        connection.execute(change)
        before()
        raise CrashError


def _proposal(number: int, parents: tuple[int, ...]) -> NewProposal:
    return NewProposal(Genome({"n": number}), {"n": number}, f"{number:064}", f"{number:064}", "random", parents)


StoreMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestStoreMachine = StoreMachine.TestCase
