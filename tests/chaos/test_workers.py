"""Workers that are frozen, told to end, hurt in their evaluating process, or that have a wrong clock."""

import os
import signal

import heterosis as ht
import pytest
from heterosis.storage.tables import attempts
from heterosis.testing.invariants import check_finished, outcomes
from sqlalchemy import select

pytestmark = [pytest.mark.server, pytest.mark.slow]

CANDIDATES = 6
GOALS = (ht.minimize("trouble"),)

CLOCK = """
import datetime
import pathlib
import time

from heterosis.storage import database

_real, _file = time.time, pathlib.Path(__file__).with_name("offset")


class _DateTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)


time.time = lambda: _real() + float(_file.read_text())
database.datetime = _DateTime
"""
"""Python runs it at the start of each process that finds it: its clock is wrong by what a file says."""


def attempts_of(study, evaluation_id):
    query = select(attempts).where(attempts.c.evaluation_id == evaluation_id).order_by(attempts.c.attempt)
    with study.store.database.read() as connection:
        return connection.execute(query).all()


@pytest.fixture
def waiting(study, trouble, tmp_path):
    """An undisturbed study, another like it, and the order that makes whoever evaluates its candidate 2 wait."""
    whole = study(tmp_path / "whole.db", GOALS, optimizer="nsga2").optimize(CANDIDATES)
    return whole, study(tmp_path / "hurt.db", GOALS, optimizer="nsga2"), trouble(whole.candidate(2), "wait")


@pytest.fixture
def holder(until):
    """`holder(study, fleet, 2)`: the evaluation of candidate 2, and the worker that is at it, once one is."""

    def find(study, workers, number):
        def look():
            candidate = study.store.candidates.numbered(study.record.id, number)
            one = candidate and candidate.evaluations["search"]
            at_it = [worker for worker in workers.at_work() if one and worker.evaluation_id == one.id]
            ready = at_it and one.state == "running" and one.lease_owner == at_it[0].owner
            return (one, at_it[0]) if ready and workers.child(at_it[0]) else None

        return until(look)

    return find


def test_a_frozen_worker_is_fenced(waiting, fleet, coordinator, holder, until, valkey, seen):
    whole, hurt, order = waiting
    workers = fleet(hurt, 2, broker=valkey.url, lease_seconds=4.0)
    leader = coordinator(hurt, CANDIDATES, "celery", broker=valkey.url, lease_seconds=4.0)
    one, frozen = holder(hurt, workers, 2)
    os.kill(frozen.pid, signal.SIGSTOP)
    until(lambda: hurt.store.queue.get(one.id).attempt == 2)
    order.unlink()  # the frozen worker's child now finishes, too; its answer lies in the pipe
    leader.finish()
    os.kill(frozen.pid, signal.SIGCONT)
    until(lambda: hurt.store.workers.get(frozen.id).evaluation_id is None)
    assert [row.outcome for row in attempts_of(hurt, one.id)] == ["lost", "succeeded"]
    assert attempts_of(hurt, one.id)[1].worker != frozen.owner
    check_finished(hurt.store, hurt.record.id)
    assert seen(hurt) == seen(whole)


def test_an_evaluating_process_that_is_killed_is_noted_with_its_signal(
    waiting, fleet, coordinator, holder, valkey, seen
):
    whole, hurt, order = waiting
    workers = fleet(hurt, 1, broker=valkey.url)
    leader = coordinator(hurt, CANDIDATES, "celery", broker=valkey.url)
    one, worker = holder(hurt, workers, 2)
    workers.child(worker).kill()
    order.unlink()
    leader.finish()
    lost, succeeded = attempts_of(hurt, one.id)
    assert (lost.outcome, lost.exit_signal, lost.worker) == ("lost", 9, worker.owner)
    assert (succeeded.outcome, succeeded.worker) == ("succeeded", worker.owner)
    check_finished(hurt.store, hurt.record.id)
    assert seen(hurt) == seen(whole)


def test_all_workers_are_killed_and_others_come(waiting, fleet, coordinator, holder, valkey, seen):
    whole, hurt, order = waiting
    workers = fleet(hurt, 2, broker=valkey.url)
    leader = coordinator(hurt, CANDIDATES, "celery", broker=valkey.url)
    holder(hurt, workers, 2)
    workers.stop_tending()
    for worker in hurt.store.workers.live():
        os.kill(worker.pid, signal.SIGKILL)
    order.unlink()
    fleet(hurt, 1, broker=valkey.url)
    leader.finish()
    check_finished(hurt.store, hurt.record.id)
    assert seen(hurt) == seen(whole)


def test_a_worker_that_is_told_to_end_hands_back_what_it_cannot_finish(
    waiting, fleet, coordinator, holder, until, valkey, seen
):
    whole, hurt, order = waiting
    workers = fleet(hurt, 1, broker=valkey.url)
    leader = coordinator(hurt, CANDIDATES, "celery", broker=valkey.url)
    one, worker = holder(hurt, workers, 2)
    workers.terminate()
    until(lambda: hurt.store.workers.get(worker.id).state == "gone")
    handed_back = hurt.store.queue.get(one.id)
    assert (handed_back.state, handed_back.attempt, handed_back.max_attempts) == ("queued", 1, 4)
    order.unlink()
    fleet(hurt, 1, broker=valkey.url)
    leader.finish()
    assert [row.outcome for row in attempts_of(hurt, one.id)] == ["released", "succeeded"]
    check_finished(hurt.store, hurt.record.id)
    assert seen(hurt) == seen(whole)


def test_what_can_be_finished_is_when_a_worker_is_told_to_end(waiting, fleet, coordinator, holder, until, valkey):
    _, hurt, order = waiting
    workers = fleet(hurt, 1, broker=valkey.url, grace_seconds=300.0)
    coordinator(hurt, CANDIDATES, "celery", broker=valkey.url)
    one, worker = holder(hurt, workers, 2)
    workers.terminate()
    until(lambda: hurt.store.workers.get(worker.id).state == "draining")
    assert hurt.store.queue.get(one.id).state == "running"
    order.unlink()
    until(lambda: hurt.store.workers.get(worker.id).state == "gone")
    assert [row.outcome for row in attempts_of(hurt, one.id)] == ["succeeded"]


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_jumps_costs_nothing(
    jump, study, trouble, fleet, coordinator, holder, until, valkey, postgresql_url, seen, tmp_path
):
    whole = study(tmp_path / "whole.db", GOALS, optimizer="nsga2").optimize(CANDIDATES)
    hurt = study(postgresql_url, GOALS, optimizer="nsga2")
    order = trouble(whole.candidate(2), "wait")
    site = tmp_path / "site"
    (site / "sitecustomize.py").write_text(CLOCK)
    offset = site / "offset"
    offset.write_text("0")
    workers = fleet(hurt, 1, broker=valkey.url, lease_seconds=20.0)
    leader = coordinator(hurt, CANDIDATES, "celery", broker=valkey.url)
    one, _ = holder(hurt, workers, 2)
    before = hurt.store.queue.get(one.id).lease_expires_at
    offset.with_name("new").write_text(str(jump))
    offset.with_name("new").rename(offset)
    after = until(lambda: hurt.store.queue.get(one.id).lease_expires_at > before and hurt.store.queue.get(one.id))
    assert (after.lease_expires_at - before).total_seconds() < 1800
    order.unlink()
    leader.finish()
    assert outcomes(hurt.store, hurt.record.id).keys() == {"succeeded"}
    check_finished(hurt.store, hurt.record.id)
    assert seen(hurt) == seen(whole)
