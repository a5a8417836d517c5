"""Two leaders of one study: the second is refused, follows when the first is dead, and fences one that wakes late."""

import signal

import heterosis as ht
import pytest
from heterosis.core.errors import StorageError
from heterosis.storage.tables import study_leases
from heterosis.testing.invariants import check_finished
from sqlalchemy import select

pytestmark = [pytest.mark.server, pytest.mark.slow]

CANDIDATES = 6
GOALS = (ht.minimize("trouble"),)


@pytest.fixture
def waiting(study, trouble, tmp_path):
    """An undisturbed study, another like it, and the order that makes whoever evaluates its candidate 2 wait."""
    whole = study(tmp_path / "whole.db", GOALS, optimizer="nsga2").optimize(CANDIDATES)
    return whole, study(tmp_path / "led.db", GOALS, optimizer="nsga2"), trouble(whole.candidate(2), "wait")


def epoch(study):
    with study.store.database.read() as connection:
        return connection.scalar(select(study_leases.c.epoch).where(study_leases.c.study_id == study.record.id))


def states(study):
    return [one.record.state for one in study.candidates]


def test_a_second_leader_is_refused_while_the_first_lives(waiting, fleet, coordinator, until, valkey, seen):
    whole, led, order = waiting
    fleet(led, 1, broker=valkey.url)
    first = coordinator(led, CANDIDATES, "celery", broker=valkey.url)
    until(lambda: "evaluating" in states(led))
    before = seen_so_far(led)
    with pytest.raises(StorageError, match=r"another process leads this study \(.*\): let it finish, or end it"):
        led.optimize(CANDIDATES, workers="celery", broker=valkey.url)
    assert seen_so_far(led) == before
    assert led.store.studies.get("tiny").state == "running"

    first.kill()
    order.unlink()
    led.optimize(CANDIDATES, workers="celery", broker=valkey.url)
    assert epoch(led) == 2
    check_finished(led.store, led.record.id)
    assert seen(led) == seen(whole)


def seen_so_far(study):
    asks = study.store.asks.all(study.record.id)
    return [[candidate.number for candidate in ask.candidates] for ask in asks], len(study.candidates)


def test_a_leader_that_wakes_after_its_lease_writes_nothing(waiting, fleet, coordinator, until, valkey, seen):
    whole, led, order = waiting
    fleet(led, 1, broker=valkey.url)
    frozen = coordinator(led, CANDIDATES, "celery", broker=valkey.url, lead_seconds=4.0)
    until(lambda: "evaluating" in states(led))
    frozen.send(signal.SIGSTOP)

    def follow():
        follower = coordinator(led, CANDIDATES, "celery", broker=valkey.url, lead_seconds=60.0)
        until(lambda: epoch(led) == 2 or follower.process.poll() is not None)
        assert epoch(led) == 2 or "another process leads this study" in follower.log
        return follower if epoch(led) == 2 else None

    follower = until(follow)
    order.unlink()
    follower.finish()
    found = seen(led)
    frozen.send(signal.SIGCONT)
    assert frozen.process.wait(600) == 3
    assert "another process leads this study since" in frozen.log
    check_finished(led.store, led.record.id)
    assert led.store.studies.get("tiny").state == "complete"
    assert seen(led) == found == seen(whole)


def test_leaders_that_are_killed_at_every_turn_lose_nothing(study, fleet, coordinator, until, valkey, seen, tmp_path):
    whole = study(tmp_path / "whole.db").optimize(40)
    led = study(tmp_path / "led.db")
    fleet(led, 1, broker=valkey.url)
    leader = coordinator(led, 40, "celery", broker=valkey.url)
    for kills in range(4):
        until(lambda said=kills + 2: len(leader.said) >= said)
        assert leader.process.poll() is None
        leader.kill()
        leader.start()
    leader.finish()
    assert epoch(led) == 5
    check_finished(led.store, led.record.id)
    assert seen(led) == seen(whole)
