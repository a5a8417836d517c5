"""Flower, as it is, against the broker of a running worker."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.workers import celery_watch
from heterosis.workers.broker import parse_broker
from heterosis.workers.celery_publisher import Publisher


@pytest.fixture
def flower(valkey, tmp_path):
    """`read("/api/workers")`: what a Flower on the loopback answers; None while it does not."""
    pytest.importorskip("flower")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "celery", "-A", "heterosis.workers.celery_watch", "flower"]
    options = ["--address=127.0.0.1", f"--port={port}", "--read_only=True"]
    environment = {**os.environ, "HETEROSIS_BROKER": valkey.url, "FLOWER_UNAUTHENTICATED_API": "true"}
    with (tmp_path / "flower.log").open("wb") as log:
        process = subprocess.Popen([*line, *options], env=environment, stdout=log, stderr=log, cwd=tmp_path)

    def read(path, data=None):
        assert process.poll() is None, (tmp_path / "flower.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=30) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, ConnectionError):
            return None

    yield read
    process.terminate()
    process.wait(30)


@pytest.mark.server
def test_flower_sees_workers_and_what_they_did(flower, start_worker, valkey, until):
    until(lambda: flower("/healthcheck"))
    worker = start_worker(valkey.url, name="gpu0")
    until(lambda: any(name.startswith("gpu0@") for name in json.loads(flower("/api/workers?refresh=1"))))
    publisher = Publisher(parse_broker(valkey.url))
    publisher.publish([("sleep-0-a", "8g")])
    publisher.close()
    until(lambda: worker.lines("done"))
    found = until(lambda: json.loads(flower("/api/tasks")))
    (task,) = found.values()
    assert task["name"] == "heterosis.evaluate"
    assert task["worker"].startswith("gpu0@")
    assert "sleep-0-a" in task["kwargs"]
    assert "gpu0@" in flower("/workers")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        flower(f"/api/worker/shutdown/{task['worker']}", b"")
    assert worker.process.poll() is None


def test_without_a_broker_it_is_said(monkeypatch):
    monkeypatch.delenv("HETEROSIS_BROKER", raising=False)
    vars(celery_watch).pop("app", None)
    with pytest.raises(ConfigurationError, match="HETEROSIS_BROKER"):
        celery_watch.app  # noqa: B018
    with pytest.raises(AttributeError):
        celery_watch.application  # noqa: B018
