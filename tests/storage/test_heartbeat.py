from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from heterosis.core.errors import StorageError
from heterosis.storage import Heartbeat


class Lease:
    """Counts its beats; `answers` come one after the other, then always True."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.beats: list[str] = []

    def __call__(self) -> bool:
        self.beats.append(threading.current_thread().name)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("it did not come to that")


def test_a_lease_is_beaten_again_and_again_by_another_thread() -> None:
    lease = Lease()
    with Heartbeat(lease, 0.04) as heart:
        wait_until(lambda: len(lease.beats) >= 3)
        assert heart.held
    assert set(lease.beats) == {"heartbeats"}


def test_nothing_is_beaten_after_the_block() -> None:
    lease = Lease()
    with Heartbeat(lease, 0.02):
        wait_until(lambda: bool(lease.beats))
    count = len(lease.beats)
    time.sleep(0.1)
    assert len(lease.beats) == count


def test_a_short_block_is_not_beaten_at_all() -> None:
    lease = Lease()
    with Heartbeat(lease, 60.0):
        pass
    assert lease.beats == []


def test_many_leases_share_a_thread() -> None:
    leases = [Lease() for _ in range(5)]
    before = threading.active_count()
    with Heartbeat(leases[0], 0.04), Heartbeat(leases[1], 0.03), Heartbeat(leases[2], 60.0):
        wait_until(lambda: len(leases[0].beats) >= 2 and len(leases[1].beats) >= 2)
        assert threading.active_count() <= before + 1
    assert leases[2].beats == []


def test_a_lease_that_is_anothers_is_lost_and_not_beaten_again() -> None:
    lease = Lease(True, False)
    with Heartbeat(lease, 0.02) as heart:
        wait_until(lambda: not heart.held)
        time.sleep(0.05)
        assert len(lease.beats) == 2


def test_a_database_that_is_away_for_a_moment_loses_nothing() -> None:
    lease = Lease(StorageError("away"), StorageError("away"))
    with Heartbeat(lease, 2.0, retry_seconds=0.01) as heart:
        heart._beaten = time.monotonic()
        for _ in range(3):
            heart.due()
        assert heart.held
        assert len(lease.beats) == 3


def test_a_database_that_is_away_for_half_a_lease_loses_it() -> None:
    away = [StorageError("away")] * 1000
    with Heartbeat(Lease(*away), 0.2, retry_seconds=0.01) as heart:
        wait_until(lambda: not heart.held)
