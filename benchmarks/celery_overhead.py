"""What a candidate costs over Celery besides its evaluation: real broker, one real worker process, tiny real model."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import heterosis as ht
from heterosis.search.progress import Progress
from heterosis.storage import Store
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.servers import ValkeyServer
from heterosis.workers.keeper import Keeper
from heterosis.workers.process import Told
from heterosis.workers.settings import WorkerSettings

ITEMS, POPULATION = 8, 20
GIB = 2**30


def celery_overhead(url: str, candidates: int) -> float:
    """Mean milliseconds of a candidate of a study of so many, less the evaluation's own seconds.

    One worker works, so what is between two results is an evaluation and the way to the next: result, outbox, ask,
    message, claim. The first generation is left out: the worker loads the model then.
    """
    laps: list[float] = []

    def note(progress: Progress) -> None:
        if progress.stage == "search":
            laps.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder, ValkeyServer() as broker, _worker(url, broker.url):
        study = _study(Path(folder), url)
        study.optimize(candidates, note, workers="celery", broker=broker.url)
        evaluating = _seconds(study.store, study.record.id)
        study.close()
    first = POPULATION - 1  # the last of the first generation
    return 1e3 * (laps[-1] - laps[first] - sum(evaluating[first + 1 :])) / (len(laps) - 1 - first)


@contextmanager
def _worker(url: str, broker: str) -> Iterator[None]:
    Store.open(url).close()  # its tables are there before the worker looks
    told = Told(WorkerSettings("celery", "cpu", "cpu", 8 * GIB, cores=(max(os.sched_getaffinity(0)),)), "worker")
    keeper = Keeper([told], {"HETEROSIS_STORAGE": url, "HETEROSIS_BROKER": broker}, quiet=True)
    keeper.start()
    try:
        yield
    finally:
        keeper.end()


def _study(folder: Path, url: str) -> ht.Study:
    base = write_tiny(folder / "base")
    sources = [str(write_tiny(folder / f"source{seed}", seed=seed, change=0.3)) for seed in (1, 2)]
    lines = [
        {"id": f"q{place}", "prompt": f"question {place} is", "choices": [" one", " two"], "answer": place % 2}
        for place in range(3 * ITEMS)
    ]
    questions = folder / "questions.jsonl"
    questions.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    space = ht.Space(base=str(base), sources=sources, merge=ht.Merge("task_arithmetic", weight=(0.0, 1.5)))
    goals = [ht.maximize("accuracy", task=str(questions), items=ITEMS)]
    return ht.Study("celery", space, goals, optimizer="ga", finalists=1, storage=url, population=POPULATION)


def _seconds(store: Store, study_id: str) -> list[float]:
    """What each evaluation on search items took by itself, in the order in which they were over."""
    parts = store.queue.parts(study_id, "search").values()
    over = sorted((part for of_one in parts for part in of_one), key=lambda part: part.finished_at or part.created_at)
    return [sum(part.seconds.values()) for part in over]
