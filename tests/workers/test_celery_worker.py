"""A running Celery worker: every setting is in force, strangers are not heard, the broker may die, it drains."""

import json
import time

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.workers.broker import parse_broker
from heterosis.workers.celery_app import TASK, make_app, wake_up
from heterosis.workers.celery_depth import messages_waiting
from heterosis.workers.celery_publisher import Publisher
from heterosis.workers.celery_settings import SETTINGS, checked

pytestmark = pytest.mark.server


@pytest.fixture
def broker(valkey):
    return parse_broker(valkey.url)


@pytest.fixture
def app(broker):
    """A client of the broker; a new one for each test, for its connections outlive no restart."""
    return make_app(broker)


@pytest.fixture
def publish(broker):
    """`publish("sleep-0-a")` as the executor does it."""
    publisher = Publisher(broker)
    yield lambda *ids, queue="8g": publisher.publish([(id_, queue) for id_ in ids])
    publisher.close()


@pytest.fixture
def client(valkey):
    import redis

    return redis.Redis(port=valkey.port)


@pytest.fixture
def worker(start_worker, valkey, app, until):
    started = start_worker(valkey.url)
    until(lambda: app.control.ping(timeout=0.5))
    return started


def test_every_setting_is_in_force(worker, app):
    (running,) = app.control.inspect(timeout=2).conf(with_defaults=True).values()
    hidden = {"global_keyprefix": "*" * 8}  # Celery takes it for a secret; other tests read the keys
    transport = {**SETTINGS["broker_transport_options"], **hidden}
    expected = {**SETTINGS, "broker_transport_options": transport}
    assert {key: running[key] for key in expected} == expected


def test_a_worker_consumes_its_queues_and_no_other_with_one_thread(worker, app):
    inspect = app.control.inspect(timeout=2)
    (queues,) = inspect.active_queues().values()
    (statistics,) = inspect.stats().values()
    (tasks,) = inspect.registered().values()
    assert {queue["name"] for queue in queues} == {"8g", "any"}
    assert tasks == [TASK]
    assert statistics["pool"]["implementation"] == "celery.concurrency.thread:TaskPool"
    assert statistics["pool"]["max-concurrency"] == 1
    assert statistics["prefetch_count"] == 1


def test_what_waits_stays_in_the_list_and_what_runs_is_acknowledged(worker, app, client, publish, until):
    publish("sleep-3-a", "sleep-0-b", "sleep-0-c")
    until(lambda: worker.lines("begun") == ["sleep-3-a"])
    until(lambda: client.hlen("heterosis:unacked") == 0)
    assert client.llen("heterosis:8g") == 2
    assert messages_waiting(app, ["8g", "any"]) == {"8g": 2, "any": 0}
    assert app.control.ping(timeout=2), "a worker answers while it evaluates"
    assert worker.lines("done") == []
    until(lambda: len(worker.lines("done")) == 3)
    assert worker.lines("begun") == ["sleep-3-a", "sleep-0-b", "sleep-0-c"]
    assert set(worker.lines("threads")) == {1}, "a Worker is called from one thread only"


def test_nothing_is_left_in_redis_and_no_result_is_written(worker, client, publish, until):
    publish("sleep-0-a")
    until(lambda: worker.lines("done"))
    until(lambda: client.llen("heterosis:8g") == 0 and client.hlen("heterosis:unacked") == 0)
    assert [key for key in client.scan_iter() if b"celery-task-meta" in key or b"kombu" not in key] == []


def test_a_task_longer_than_the_visibility_timeout_runs_once(start_worker, valkey, publish, until):
    changes = {"broker_transport_options": {"visibility_timeout": 1}}
    one = start_worker(valkey.url, name="one", changes=changes)
    two = start_worker(valkey.url, name="two", changes=changes)
    publish("sleep-5-a", "sleep-5-b")
    until(lambda: len(one.lines("done") + two.lines("done")) == 2)
    publish("sleep-0-c")
    until(lambda: len(one.lines("done") + two.lines("done")) == 3)
    assert sorted(one.lines("begun") + two.lines("begun")) == ["sleep-0-c", "sleep-5-a", "sleep-5-b"]


def _raw(app, body, content_type, **headers):
    """Puts a message into the queue `8g` past everything that Celery does for its clients."""
    with app.connection_for_write() as connection:
        producer = connection.Producer()
        named = {"task": TASK, "id": "forged", "lang": "py", "argsrepr": "", "kwargsrepr": "", **headers}
        producer.publish(
            body, routing_key="8g", exchange="", content_type=content_type, content_encoding="utf-8", headers=named
        )


def test_a_pickle_is_never_opened(worker, app, publish, until, tmp_path):
    mark = tmp_path / "opened"
    bomb = f"cbuiltins\nopen\n(V{mark}\nVw\ntR.".encode()
    _raw(app, bomb, "application/x-python-serialize")
    publish("sleep-0-after")
    until(lambda: worker.lines("done") == ["sleep-0-after"])
    assert not mark.exists()
    assert "Refusing to deserialize" in worker.text() or "ContentDisallowed" in worker.text()


@pytest.mark.parametrize("name", ["heterosis.other", "celery.map", "celery.chord_unlock", "os.system"])
def test_forged_names_of_tasks_are_dropped(worker, app, client, publish, until, name):
    _raw(app, json.dumps([[], wake_up("sleep-0-forged"), {}]), "application/json", task=name)
    publish("sleep-0-after")
    until(lambda: worker.lines("done") == ["sleep-0-after"])
    assert f"unregistered task of type '{name}'" in worker.text()
    assert client.llen("heterosis:8g") == 0


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        ([], {"evaluation_id": "sleep-0-x", "schema": 2}),
        ([], {"evaluation_id": "sleep-0-x"}),
        ([], {"evaluation_id": ["sleep-0-x"], "schema": 1}),
        ([], {"evaluation_id": "x" * 1000, "schema": 1}),
        ([], {"evaluation_id": "sleep-0-x", "schema": 1, "code": "print()"}),
        (["sleep-0-x"], {}),
        ([], {}),
    ],
)
def test_messages_of_another_form_are_dropped_and_logged(worker, app, publish, until, arguments, content):
    app.send_task(TASK, args=arguments, kwargs=content, queue="8g")
    publish("sleep-0-after")
    until(lambda: worker.lines("done") == ["sleep-0-after"])
    assert "dropped a message" in worker.text()
    assert worker.lines("begun") == ["sleep-0-after"]


def test_nothing_can_be_sent_to_a_queue_that_nobody_reads(app):
    with pytest.raises(Exception, match="9g"):
        app.send_task(TASK, kwargs=wake_up("sleep-0-x"), queue="9g")


@pytest.mark.parametrize("evaluation", ["sleep-3-busy", "sleep-0-idle"])
def test_it_consumes_again_after_the_broker_was_killed(worker, valkey, publish, until, evaluation):
    publish(evaluation)
    until(lambda: worker.lines("begun"))
    valkey.kill()
    time.sleep(1)
    valkey.start()
    until(lambda: worker.lines("done") == [evaluation])
    publish("sleep-0-after")
    until(lambda: worker.lines("done") == [evaluation, "sleep-0-after"], seconds=30)
    assert worker.lines("begun") == [evaluation, "sleep-0-after"]


def test_it_waits_for_a_broker_that_is_not_there_yet(start_worker, valkey, publish, until):
    valkey.kill()
    worker = start_worker(valkey.url)
    until(lambda: "This worker waits for it" in worker.text())
    valkey.start()
    publish("sleep-0-a")
    until(lambda: worker.lines("done") == ["sleep-0-a"])


def test_a_flush_does_not_stop_it(worker, client, publish, until):
    publish("sleep-1-a")
    until(lambda: worker.lines("begun"))
    client.flushall()
    publish("sleep-0-b")
    until(lambda: worker.lines("done") == ["sleep-1-a", "sleep-0-b"])


def test_an_idle_worker_looks_into_the_database_by_itself(start_worker, valkey, until):
    worker = start_worker(valkey.url, look_seconds=0.2)
    until(lambda: len(worker.lines("look")) > 3)
    valkey.kill()
    before = len(worker.lines("look"))
    until(lambda: len(worker.lines("look")) > before + 3)


def test_a_signal_drains_it(worker, publish, client, until):
    publish("sleep-60-a", "sleep-0-b")
    until(lambda: worker.lines("begun"))
    assert worker.terminate() == 0
    assert worker.lines("drain") == [1.0]
    assert worker.lines("handed_back") == ["sleep-60-a"]
    assert worker.lines("stopped") == [True]
    assert client.llen("heterosis:8g") == 1, "nothing more is taken"


def test_what_runs_is_finished_where_the_grace_allows_it(start_worker, valkey, publish, until):
    worker = start_worker(valkey.url, grace_seconds=30)
    publish("sleep-2-a")
    until(lambda: worker.lines("begun"))
    assert worker.terminate() == 0
    assert worker.lines("done") == ["sleep-2-a"]
    assert worker.lines("handed_back") == []


def test_a_signal_drains_it_while_the_broker_is_down(worker, valkey, publish, until):
    publish("sleep-60-a")
    until(lambda: worker.lines("begun"))
    valkey.kill()
    assert worker.terminate() == 0
    assert worker.lines("handed_back") == ["sleep-60-a"]


def test_a_shutdown_through_the_broker_drains_it(worker, app, publish, until):
    publish("sleep-60-a")
    until(lambda: worker.lines("begun"))
    app.control.shutdown()
    assert worker.process.wait(30) == 0
    assert worker.lines("handed_back") == ["sleep-60-a"]


def test_the_watchdog_ends_a_worker_that_no_longer_consumes(start_worker, valkey, app, publish, until):
    worker = start_worker(valkey.url, deaf=True, watchdog_seconds=2.0)
    until(lambda: app.control.ping(timeout=0.5))
    publish("sleep-0-a")
    assert worker.process.wait(60) == 75
    assert "no longer consumes" in worker.lines("reason")[0]
    assert worker.lines("stopped") == [True]
    assert worker.lines("begun") == []


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ConfigurationError, match="Did you mean 'worker_disable_prefetch'"):
        checked({"worker_disable_prefech": True})
    with pytest.raises(ConfigurationError, match="transport option 'visibility_timout'"):
        checked({"broker_transport_options": {"visibility_timout": 1}})
