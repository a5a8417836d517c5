"""Worker processes around a fake worker, and what they recorded."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import heterosis as ht
import pytest


class WorkerProcess:
    def __init__(self, folder, url, **settings):
        self.record = folder / f"{settings.get('name', 'fake')}.jsonl"
        self.log = folder / f"{settings.get('name', 'fake')}.log"
        settings["record"] = str(self.record)
        self.record.touch()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).parent / "fake_worker.py"), json.dumps(settings)],
                env={**os.environ, "HETEROSIS_BROKER": url},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def lines(self, key):
        found = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [line[key] for line in found if key in line]

    def text(self):
        return self.log.read_text()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def start_worker(tmp_path):
    """`start_worker(url, grace_seconds=1)`: a worker process; it is killed at the end of the test."""
    started = []

    def start(url, **settings):
        started.append(WorkerProcess(tmp_path, url, **settings))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()


@pytest.fixture
def until():
    """`until(condition)`: waits until it holds, and fails if it does not within a minute."""

    def wait(condition, seconds=60.0):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"it did not come to pass within {seconds:g} s"
            time.sleep(0.05)
        return found

    return wait


@pytest.fixture
def study(tmp_path, checkpoints, choice_items, write_lines):
    """`study("a")`: a small study in a database `a.db` of its own, or at a URL; all are closed at the end."""
    words = str(write_lines(tmp_path / "words.jsonl", choice_items(32)))
    made = []

    def make(storage, name="tiny", sources=("one", "two"), goals=(), **settings):
        space = ht.Space(
            base=str(checkpoints / "base"),
            sources=[str(checkpoints / source) for source in sources],
            merge=ht.Merge("task_arithmetic", weight=(0.0, 1.5)),
            relative_to=tmp_path,
        )
        objectives = [ht.maximize("accuracy", task=words, items=8), *goals]
        url = storage if "://" in storage else tmp_path / f"{storage}.db"
        settings = {"optimizer": "ga", "seed": 3, "finalists": 2, "storage": url, **settings}
        made.append(ht.Study(name, space, objectives, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def seen():
    """`seen(study)`: all that a user may see of a study, but for times and ids."""

    def look(study):
        rows = [(one.name, one.genome, one.record.state, one.measurements) for one in study.candidates]
        return rows, [one.name for one in study.front()], study.best().name, study.report()

    return look
