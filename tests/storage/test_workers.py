from __future__ import annotations

from datetime import timedelta

import pytest
from heterosis.core.errors import StorageError
from heterosis.storage import Store, WorkerRecord, this_process


@pytest.fixture
def worker(store: Store) -> WorkerRecord:
    device = {"name": "cpu", "memory_bytes": 8}
    return store.workers.register(this_process(), "here", 1, "0.1", "processes", ["8g", "any"], device)


def test_a_worker_is_noted_as_it_is(store: Store, worker: WorkerRecord) -> None:
    assert store.workers.get(worker.id) == worker
    assert (worker.state, worker.queues, worker.device["name"]) == ("up", ("8g", "any"), "cpu")
    assert store.workers.live() == [worker]
    with pytest.raises(StorageError, match="no worker with id x"):
        store.workers.get("x")


def test_what_it_does_is_noted(store: Store, worker: WorkerRecord) -> None:
    store.workers.evaluates(worker.id, "e1")
    busy = store.workers.get(worker.id)
    assert busy.evaluation_id == "e1"
    assert busy.claimed_at is not None
    assert busy.last_seen_at - worker.last_seen_at >= timedelta(0)
    store.workers.evaluates(worker.id, None, done=2, failed=1)
    idle = store.workers.get(worker.id)
    assert (idle.evaluation_id, idle.done, idle.failed) == (None, 2, 1)


def test_a_worker_learns_how_it_stands(store: Store, worker: WorkerRecord) -> None:
    assert store.workers.seen(worker.id) == "up"
    store.workers.move(worker.id, "drifted", "its numbers differ")
    assert store.workers.seen(worker.id) == "drifted"


def test_one_that_is_gone_stays_gone(store: Store, worker: WorkerRecord) -> None:
    store.workers.move(worker.id, "gone", "asked to")
    store.workers.move(worker.id, "up")
    assert store.workers.get(worker.id).state == "gone"
    assert store.workers.live() == []


def test_one_that_is_silent_or_dead_is_not_live(store: Store, worker: WorkerRecord) -> None:
    assert store.workers.live(silent_seconds=0.0) == []
    dead = worker.owner.rsplit(":", 2)[0] + ":4194304:1"  # no process has such a number
    store.workers.register(dead, "here", 4194304, "0.1", "processes", [], {})
    assert store.workers.live() == [worker]
