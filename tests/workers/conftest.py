"""Worker processes around a fake worker, and what they recorded."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
