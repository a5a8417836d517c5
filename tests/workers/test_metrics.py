"""Metrics: what is counted, by the names Prometheus expects, over HTTP on the loopback, or not at all."""

import re
import sys
import urllib.request
from pathlib import Path

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.storage import Store
from heterosis.workers import metrics
from heterosis.workers.metrics import WorkerMetrics

prometheus_client = pytest.importorskip("prometheus_client")


def samples(rendered):
    from prometheus_client.parser import text_string_to_metric_families

    families = text_string_to_metric_families(rendered.decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "heterosis.db") as opened:
        yield opened


def test_what_a_worker_counts():
    worker = WorkerMetrics("w1", "cuda:0", "1.0")
    worker.evaluated("succeeded", {"load": 2.0, "merge": 0.5, "score": 20.0}, items=12)
    worker.evaluated("succeeded", {"merge": 0.5}, items=8)
    worker.evaluated("lost")
    worker.reaped(2)
    worker.beat(True)
    worker.beat(False)
    worker.beat("fenced")
    worker.memory(3 * 10**9, 24 * 10**9)
    worker.running(1)
    found = samples(worker.render())
    assert found["heterosis_evaluations_total", ("outcome", "succeeded")] == 2
    assert found["heterosis_evaluations_total", ("outcome", "memory")] == 0
    assert found["heterosis_attempts_lost_total",] == 3
    assert found["heterosis_items_total",] == 20
    assert found["heterosis_phase_seconds_count", ("phase", "merge")] == 2
    assert found["heterosis_phase_seconds_sum", ("phase", "score")] == 20
    assert found["heterosis_phase_seconds_bucket", ("le", "3.0"), ("phase", "load")] == 1
    for outcome in ("kept", "failed", "fenced"):
        assert found["heterosis_lease_beats_total", ("outcome", outcome)] == 1
    assert found["heterosis_device_memory_bytes", ("kind", "used")] == 3e9
    assert found["heterosis_evaluations_running",] == 1
    assert found["heterosis_worker_info", ("device", "cuda:0"), ("version", "1.0"), ("worker", "w1")] == 1


def test_two_workers_in_a_process_count_apart():
    first, second = WorkerMetrics(), WorkerMetrics()
    first.evaluated("failed")
    assert samples(first.render())["heterosis_evaluations_total", ("outcome", "failed")] == 1
    assert samples(second.render())["heterosis_evaluations_total", ("outcome", "failed")] == 0


def test_names_follow_the_conventions():
    for line in WorkerMetrics().render().decode().splitlines():
        if line.startswith("# TYPE heterosis"):
            _, _, name, kind = line.split()
            assert kind != "counter" or name.endswith("_total")
            assert kind != "histogram" or name.endswith("_seconds")
    assert b"_bytes" in WorkerMetrics().render()


def test_every_metric_is_documented(store):
    worker = WorkerMetrics()
    worker.watch(store)
    known = {line.split()[2] for line in worker.render().decode().splitlines() if line.startswith("# TYPE heterosis_")}
    text = (Path(__file__).parents[2] / "docs" / "watching.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(heterosis_\w+)`", text, re.MULTILINE))
    assert documented - known <= {"heterosis_queue_left_seconds"}, "it is left out where it cannot be foreseen"
    assert {name for name in known if not name.endswith("_created")} <= documented


def test_the_queue_is_read_when_it_is_asked_for(store):
    worker = WorkerMetrics()
    worker.watch(store)
    study = store.studies.create("tiny", {}, seed=1, plugin_versions={})
    store.studies.set_state(study.id, "running")
    base = store.candidates.add_reference(study.id, "base", {}, "a" * 64)
    store.workers.register("gpu-box:abc:1:1", "gpu-box", 1, "1.0", "celery", ["default"], {"name": "cuda:0"})
    store.queue.ensure(base.id, "test", "b" * 64)
    for found in (samples(worker.render()), samples(metrics.render(store))):
        key = (("priority", "0"), ("queue", "default"), ("state", "queued"))
        assert found["heterosis_queue_depth", *key] == 1
        assert found["heterosis_workers", ("state", "up")] == 1
        assert found["heterosis_workers", ("state", "lost")] == 0
        assert found["heterosis_database_up",] == 1
        assert ("heterosis_queue_left_seconds",) not in found


def test_a_database_that_is_gone_does_not_take_the_metrics_along(store, tmp_path):
    worker = WorkerMetrics()
    worker.watch(store)
    worker.evaluated("succeeded")
    store.close()
    (tmp_path / "heterosis.db").write_bytes(b"no database" * 100)
    found = samples(worker.render())
    assert found["heterosis_database_up",] == 0
    assert found["heterosis_evaluations_total", ("outcome", "succeeded")] == 1


def test_metrics_are_served_on_the_loopback():
    worker = WorkerMetrics("w1")
    worker.evaluated("succeeded")
    port = worker.serve(0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert samples(answer.read())["heterosis_evaluations_total", ("outcome", "succeeded")] == 1
        other = WorkerMetrics()
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}.*another --metrics-port"):
            other.serve(port)
    finally:
        worker.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")


def test_without_the_extra_nothing_is_counted(monkeypatch, store):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    worker = WorkerMetrics("w1")
    worker.evaluated("succeeded", {"merge": 1.0}, items=3)
    worker.beat(True)
    worker.reaped(1)
    worker.memory(1, 2)
    worker.running(1)
    worker.watch(store)
    assert worker.render() == b""
    assert metrics.render(store) == b""
    with pytest.raises(ConfigurationError, match=r"heterosis\[metrics\]"):
        worker.serve(0)
    worker.close()
