"""The same study file gives the same study wherever it is evaluated: here, in processes, and in a fleet."""

import os
import subprocess
import sys

import heterosis as ht
import pytest

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def fleet(valkey, postgresql_url):
    """Two workers of a broker and a database; the environment that names both."""
    environment = {"HETEROSIS_STORAGE": postgresql_url, "HETEROSIS_BROKER": valkey.url}
    command = [sys.executable, "-c", "from heterosis.service.cli import main; main()", "worker", "--devices", "cpu,cpu"]
    started = subprocess.Popen(command, env={**os.environ, **environment})
    yield environment
    started.terminate()
    assert started.wait(120) == 0


@pytest.mark.parametrize("fitness", ["full", "auto"])
def test_the_same_study_here_in_processes_and_in_a_fleet(fitness, study, fleet, seen):
    settings = {"optimizer": "nsga2", "goals": [ht.minimize("bytes")], "fitness": fitness}
    here = study("here", **settings).optimize(16)
    processes = study("processes", **settings)
    processes.optimize(16, workers="processes", devices="cpu,cpu")
    celery = study(fleet["HETEROSIS_STORAGE"], **settings)
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
