"""The executor `celery`: the same study over a broker, which may be lost on the way."""

import os

import pytest
from heterosis.core.errors import BrokerError, ConfigurationError
from heterosis.workers.keeper import Keeper
from heterosis.workers.process import Told
from heterosis.workers.settings import WorkerSettings

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def fleet(valkey):
    """`fleet(study, 2)`: so many workers on its database and the broker."""
    started = []

    def start(study, count):
        told = [Told(WorkerSettings("celery", "cpu", "cpu", 8 * 10**9, cores=(0,)), f"w{n}") for n in range(count)]
        environment = {"HETEROSIS_STORAGE": study.store.database.address, "HETEROSIS_BROKER": valkey.url}
        started.append(Keeper(told, environment, quiet=True))
        started[-1].start()
        return started[-1]

    yield start
    for keeper in started:
        keeper.end()


def test_workers_behind_a_broker_give_the_same_study(study, fleet, valkey, seen):
    here, there = study("here"), study("there")
    here.optimize(8)
    fleet(there, 2)
    there.optimize(8, workers="celery", broker=valkey.url)
    assert seen(there) == seen(here)
    assert {worker.kind for worker in there.store.workers.all()} == {"celery"}


def test_a_broker_that_is_lost_on_the_way_costs_nothing(study, fleet, valkey, seen):
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
    assert seen(there) == seen(here)


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
