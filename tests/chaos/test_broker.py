"""A broker that repeats itself, forgets everything or is away changes no study: it only wakes workers."""

import random

import pytest
from heterosis.testing.invariants import check_finished, outcomes
from heterosis.workers.broker import parse_broker
from heterosis.workers.celery_publisher import Publisher
from heterosis.workers.memory_classes import ANY

pytestmark = [pytest.mark.server, pytest.mark.slow]

CANDIDATES = 16


@pytest.fixture
def studies(study, tmp_path):
    """An undisturbed study, and another like it."""
    return study(tmp_path / "whole.db").optimize(CANDIDATES), study(tmp_path / "hurt.db")


def check(whole, hurt, seen):
    check_finished(hurt.store, hurt.record.id)
    assert outcomes(hurt.store, hurt.record.id).keys() == {"succeeded"}
    assert seen(hurt) == seen(whole)


def test_every_message_comes_five_times_in_disorder(studies, fleet, valkey, seen, monkeypatch):
    whole, hurt = studies
    chance, publish, sent = random.Random(5), Publisher.publish, []

    def publish_five_times(self, evaluations):
        sent.extend(evaluations)  # and whatever came before, though it may be over
        again = [*evaluations, *sent] * 5
        chance.shuffle(again)
        publish(self, again)

    monkeypatch.setattr(Publisher, "publish", publish_five_times)
    fleet(hurt, 2, broker=valkey.url)
    hurt.optimize(CANDIDATES, workers="celery", broker=valkey.url)
    assert sent
    check(whole, hurt, seen)


def test_messages_of_evaluations_that_are_not_there_are_dropped(studies, fleet, valkey, seen):
    whole, hurt = studies
    publisher = Publisher(parse_broker(valkey.url))
    publisher.publish([(f"{number:026}", ANY) for number in range(50)])
    publisher.close()
    fleet(hurt, 1, broker=valkey.url)
    hurt.optimize(CANDIDATES, workers="celery", broker=valkey.url)
    check(whole, hurt, seen)


def test_a_broker_that_is_emptied_again_and_again_loses_nothing(studies, fleet, valkey, seen):
    import redis

    whole, hurt = studies
    client = redis.Redis(port=valkey.port)
    fleet(hurt, 2, broker=valkey.url)
    hurt.optimize(CANDIDATES, lambda _: client.flushall(), workers="celery", broker=valkey.url)
    client.close()
    check(whole, hurt, seen)


def test_a_broker_that_is_away_for_a_while_loses_nothing(studies, fleet, valkey, seen):
    whole, hurt = studies
    away = []

    def lose(progress):
        if progress.stage == "search" and progress.done == 3 and not away:
            away.append(True)
            valkey.kill()
        elif progress.done == 8 and away == [True]:  # so workers went on without it
            away.append(False)
            valkey.start()

    fleet(hurt, 2, broker=valkey.url)
    hurt.optimize(CANDIDATES, lose, workers="celery", broker=valkey.url)
    assert away == [True, False]
    check(whole, hurt, seen)
