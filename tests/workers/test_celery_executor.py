"""The executor `celery`: the same study over a broker, which may be lost on the way."""

import os

import heterosis as ht
import pytest
from heterosis.core.errors import BrokerError, ConfigurationError
from heterosis.workers.keeper import Keeper
from heterosis.workers.process import Told
from heterosis.workers.settings import WorkerSettings

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def study(tmp_path, checkpoints, choice_items, write_lines):
    """`study("name")`: a small study with a database of its own."""
    words = str(write_lines(tmp_path / "words.jsonl", choice_items(24)))
    made = []

    def make(name):
        sources = [str(checkpoints / source) for source in ("one", "two")]
        merge = ht.Merge("task_arithmetic", weight=(0.0, 1.5))
        space = ht.Space(base=str(checkpoints / "base"), sources=sources, merge=merge, relative_to=tmp_path)
        goals = [ht.maximize("accuracy", task=words, items=8)]
        storage = tmp_path / f"{name}.db"
        made.append(ht.Study("tiny", space, goals, optimizer="ga", seed=3, finalists=2, storage=storage))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def fleet(valkey):
    """`fleet(study, 2)`: so many workers on its database and the broker."""
    started = []

    def start(study, count):
        told = [Told(WorkerSettings("celery", "cpu", "cpu", 8 * 10**9, threads=1), f"w{n}") for n in range(count)]
        environment = {"HETEROSIS_STORAGE": study.store.database.address, "HETEROSIS_BROKER": valkey.url}
        started.append(Keeper(told, environment, quiet=True))
        started[-1].start()
        return started[-1]

    yield start
    for keeper in started:
        keeper.end()


def _seen(study):
    return [(one.name, one.genome, one.record.state, one.measurements) for one in study.candidates], study.report()


def test_workers_behind_a_broker_give_the_same_study(study, fleet, valkey):
    here, there = study("here"), study("there")
    here.optimize(8)
    fleet(there, 2)
    there.optimize(8, workers="celery", broker=valkey.url)
    assert _seen(there) == _seen(here)
    assert {worker.kind for worker in there.store.workers.all()} == {"celery"}


def test_a_broker_that_is_lost_on_the_way_costs_nothing(study, fleet, valkey):
    here, there = study("here"), study("there")
    here.optimize(8)
    fleet(there, 1)
    lost = []

    def lose(progress):
        if progress.done == 2 and not lost:
            lost.append(progress.done)
            valkey.kill()
            valkey.start()

    there.optimize(8, listener=lose, workers="celery", broker=valkey.url)
    assert lost
    assert _seen(there) == _seen(here)


def test_a_wrong_broker_is_an_error_at_the_start(study, valkey):
    valkey.kill()
    with pytest.raises(BrokerError, match="does not answer"):
        study("a").optimize(2, workers="celery", broker=valkey.url)


def test_a_broker_has_to_be_named(study, monkeypatch):
    assert "HETEROSIS_BROKER" not in os.environ
    with pytest.raises(ConfigurationError, match="set HETEROSIS_BROKER"):
        study("a").optimize(2, workers="celery")
    with pytest.raises(ConfigurationError, match="the executor 'celery' has no option 'speed'"):
        study("b").optimize(2, workers="celery", speed=3)
