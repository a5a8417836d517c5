"""Spans: nested, with attributes and failures, beside the log's lines; nothing without an endpoint or the extra."""

import logging
import sys

import pytest
from heterosis.workers import logs, telemetry

pytest.importorskip("opentelemetry.sdk")
CANARY = "kanarienvogel"


@pytest.fixture
def spans():
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    telemetry.send_to(SimpleSpanProcessor(exporter))
    yield exporter.get_finished_spans
    telemetry.send_to(None)


@pytest.fixture
def fresh():
    telemetry._from_environment.cache_clear()
    yield
    telemetry._from_environment.cache_clear()


def test_spans_are_nested_and_say_what_they_work_on(spans):
    with telemetry.span("evaluate", study="tiny", candidate=17, device=None), telemetry.span("merge"):
        pass
    inner, outer = spans()
    assert (inner.name, outer.name) == ("merge", "evaluate")
    assert inner.parent.span_id == outer.context.span_id
    assert dict(outer.attributes) == {"heterosis.study": "tiny", "heterosis.candidate": 17}
    assert outer.resource.attributes["service.name"] == "heterosis"


def test_a_failure_is_marked_without_its_secrets_and_goes_on(spans):
    url = f"redis://:{CANARY}@host"
    with pytest.raises(ConnectionError), telemetry.span("claim", broker=url):
        raise ConnectionError(f"no route to {url}")
    (made,) = spans()
    assert not made.status.is_ok
    assert made.status.description == "ConnectionError: no route to redis://:***@host"
    assert CANARY not in made.to_json()


def test_lines_of_the_log_carry_the_span(spans):
    seen = []

    class Notes(logging.Handler):
        def emit(self, record):
            seen.append(dict(logs._context.get({})))

    handler = Notes()
    logger = logging.getLogger("heterosis.test")
    logger.addHandler(handler)
    with telemetry.span("evaluate"):
        logger.warning("here")
    logger.removeHandler(handler)
    (made,) = spans()
    assert seen == [{"trace": f"{made.context.trace_id:032x}", "span": f"{made.context.span_id:016x}"}]


def test_without_an_endpoint_nothing_happens(fresh, monkeypatch):
    for name in telemetry._ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    with telemetry.span("evaluate", study="tiny"):
        assert "trace" not in logs._context.get({})
    telemetry.flush()


def test_with_an_endpoint_spans_are_made(fresh, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with telemetry.span("evaluate"):
        assert "trace" in logs._context.get({})
    telemetry._from_environment().shutdown()


def test_without_the_extra_it_is_said_once(fresh, monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    for _ in range(3):
        with telemetry.span("evaluate"):
            assert "trace" not in logs._context.get({})
    assert [record.getMessage().count("heterosis[telemetry]") for record in caplog.records] == [1]
