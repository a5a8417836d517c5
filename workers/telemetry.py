"""Spans: what a worker spends its time on, sent by OpenTelemetry if it is installed and told where to."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from ..core.redaction import redacted, without_secrets
from .logs import context

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_logger = logging.getLogger(__name__)
_given: TracerProvider | None = None


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[None]:
    """Measures the block as a span; nothing at all without the extra `telemetry` or an endpoint in the environment.

    A span within another is its child, and lines logged in it carry `trace` and `span`. An exception marks it as
    failed, with its reason (without secrets), and goes on.

    Args:
        attributes: what it works on (`study`, `candidate`, `evaluation`, `attempt`); sent as `heterosis.study`...
    """
    provider = _given or _from_environment()
    if provider is None:
        yield
        return
    from opentelemetry.trace import Status, StatusCode, format_span_id, format_trace_id

    told = {f"heterosis.{key}": _plain(value) for key, value in attributes.items() if value is not None}
    tracer = provider.get_tracer("heterosis")
    with tracer.start_as_current_span(
        name,
        attributes=told,
        record_exception=False,  # with all its secrets
        set_status_on_exception=False,
    ) as made:
        ids = made.get_span_context()
        with context(trace=format_trace_id(ids.trace_id), span=format_span_id(ids.span_id)):
            try:
                yield
            except BaseException as error:
                reason = without_secrets(f"{type(error).__name__}: {error}")
                made.set_status(Status(StatusCode.ERROR, reason))
                raise


def send_to(processor: SpanProcessor | None) -> None:
    """Sends spans there from now on, whatever the environment says; None: back to the environment."""
    global _given
    if _given is not None:
        _given.shutdown()
    _given = None if processor is None else _provider(processor)


def flush() -> None:
    """Sends what has not been sent; to be called before a worker ends."""
    provider = _given or (_from_environment() if _from_environment.cache_info().currsize else None)
    if provider is not None:
        provider.force_flush(timeout_millis=5000)


@cache
def _from_environment() -> TracerProvider | None:
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        _logger.warning("spans are asked for (%s) but not sent: pip install 'heterosis[telemetry]'", _ENDPOINTS[0])
        return None
    return _provider(BatchSpanProcessor(OTLPSpanExporter()))


def _provider(processor: SpanProcessor) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    name = os.environ.get("OTEL_SERVICE_NAME", "heterosis")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(processor)
    return provider


def _plain(value: Any) -> Any:
    return redacted(value) if isinstance(value, bool | int | float | str) else without_secrets(str(value))
