"""The same study file gives the same study wherever it is evaluated: here, in processes, and in a fleet."""

import os
import subprocess
import sys

import heterosis as ht
import pytest

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def study(tmp_path, checkpoints, choice_items, write_lines):
    """Makes studies of two fine-tunes with search, validation and test items; all are closed at the end."""
    words = str(write_lines(tmp_path / "words.jsonl", choice_items(32)))
    made = []

    def make(storage, name="tiny", **settings):
        space = ht.Space(
            base=str(checkpoints / "base"),
            sources=[str(checkpoints / source) for source in ("one", "two")],
            merge=ht.Merge("task_arithmetic", weight=(0.0, 1.5)),
            relative_to=tmp_path,
        )
        goals = [ht.maximize("accuracy", task=words, items=12), ht.minimize("bytes")]
        settings = {"optimizer": "nsga2", "seed": 3, "finalists": 2, "storage": storage, **settings}
        made.append(ht.Study(name, space, goals, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def fleet(valkey, postgresql_url):
    """Two workers of a broker and a database; the environment that names both."""
    environment = {"HETEROSIS_STORAGE": postgresql_url, "HETEROSIS_BROKER": valkey.url}
    command = [sys.executable, "-c", "from heterosis.service.cli import main; main()", "worker", "--devices", "cpu,cpu"]
    started = subprocess.Popen(command, env={**os.environ, **environment})
    yield environment
    started.terminate()
    assert started.wait(120) == 0


def seen(study):
    """All that a user may see of a study, but for times and ids."""
    rows = [(one.name, one.genome, one.record.state, one.measurements) for one in study.candidates]
    return rows, [one.name for one in study.front()], study.best().name, study.report()


@pytest.mark.parametrize("fitness", ["full", "auto"])
def test_the_same_study_here_in_processes_and_in_a_fleet(fitness, study, fleet, tmp_path):
    here = study(tmp_path / "here.db", fitness=fitness).optimize(16)
    processes = study(tmp_path / "processes.db", fitness=fitness)
    processes.optimize(16, workers="processes", devices="cpu,cpu")
    celery = study(fleet["HETEROSIS_STORAGE"], fitness=fitness)
    celery.optimize(16, workers="celery", broker=fleet["HETEROSIS_BROKER"])
    assert seen(processes) == seen(here)
    assert seen(celery) == seen(here)
    workers = celery.store.workers.all()
    assert [worker.kind for worker in workers] == ["celery", "celery"]
    assert all(worker.done > 0 for worker in workers)


def test_two_studies_share_a_fleet_in_steady_state(study, fleet):
    storage = fleet["HETEROSIS_STORAGE"]
    for name in ("first", "second"):
        one = study(storage, name, steady_state=True)
        one.optimize(12, workers="celery", broker=fleet["HETEROSIS_BROKER"])
        assert [candidate.record.state for candidate in one.candidates] == ["complete"] * 12
        assert one.report() is not None
