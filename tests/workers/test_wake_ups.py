"""Woken, a worker works until nothing is left, in one thread; errors and the end do not leave anybody waiting."""

import threading

import pytest
from heterosis.workers.wake_ups import WakeUps


class Counting:
    """A worker for whom there are `left` evaluations; `work_one` may raise, or block until it is let go."""

    def __init__(self, left=0, error=None):
        self.left = left
        self.error = error
        self.asked = []
        self.threads = set()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.called = threading.Event()

    def work_one(self, evaluation_id=None):
        self.asked.append(evaluation_id)
        self.threads.add(threading.get_ident())
        self.called.set()
        self.may_go_on.wait(30)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.left -= 1
        return self.left >= 0


@pytest.fixture
def begin():
    started = []

    def make(worker, look_seconds=600.0):
        wake_ups = WakeUps(worker, look_seconds)
        wake_ups.start()
        started.append((worker, wake_ups))
        return wake_ups

    yield make
    for worker, wake_ups in started:
        worker.may_go_on.set()
        wake_ups.end()
        assert wake_ups.join(30)


def test_it_works_until_nothing_is_left(begin):
    worker = Counting(left=3)
    wake_ups = begin(worker)
    wake_ups.wake("a")
    assert worker.asked == ["a", None, None, None]
    assert (wake_ups.received, wake_ups.busy) == (1, False)


def test_one_thread_works_whoever_wakes_it(begin):
    worker = Counting()
    wake_ups = begin(worker)
    callers = [threading.Thread(target=wake_ups.wake, args=[name]) for name in "abc"]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert sorted(worker.asked) == ["a", "b", "c"]
    assert len(worker.threads) == 1
    assert worker.threads.isdisjoint({threading.get_ident()})


def test_it_looks_by_itself(begin):
    worker = Counting()
    begin(worker, look_seconds=0.01)
    assert worker.called.wait(30)
    assert worker.asked[0] is None


def test_an_error_ends_neither_the_caller_nor_the_thread(begin):
    worker = Counting(left=1, error=RuntimeError("no database"))
    wake_ups = begin(worker, look_seconds=600)
    wake_ups.wake("a")
    wake_ups.wake("b")
    assert worker.asked == ["a", "b", None]


def test_the_end_lets_the_caller_go_while_the_worker_still_works(begin):
    worker = Counting(left=5)
    worker.may_go_on.clear()
    wake_ups = begin(worker)
    caller = threading.Thread(target=wake_ups.wake, args=["a"])
    caller.start()
    assert worker.called.wait(30)
    assert wake_ups.busy
    wake_ups.end()
    caller.join(30)
    assert not caller.is_alive()
    assert not wake_ups.join(0.05)
    worker.may_go_on.set()
    assert wake_ups.join(30)
    assert worker.asked == ["a"], "nothing more is begun"
