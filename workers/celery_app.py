"""The Celery application: which server, which queues, and the only task there is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from .broker import Broker
from .celery_settings import SETTINGS, checked
from .memory_classes import MEMORY_CLASSES

TASK = "heterosis.evaluate"
SCHEMA = 1

_LONGEST_ID = 64
_log = logging.getLogger(__name__)


def make_app(broker: Broker, changes: Mapping[str, Any] | None = None) -> Celery:
    """A Celery application that sends to this broker, and receives nothing but `heterosis.evaluate`.

    Args:
        changes: settings that differ from `SETTINGS`; options of the transport are added to those there.

    Raises:
        ConfigurationError: the installed Celery does not know a setting.
    """
    given = dict(changes or {})
    transport = {**SETTINGS["broker_transport_options"], **given.pop("broker_transport_options", {})}
    app = Celery("heterosis", set_as_current=False)
    app.conf.update(
        checked(
            {
                **SETTINGS,
                **given,
                "broker_transport_options": transport,
                "broker_url": broker.url,
                "broker_use_ssl": None if broker.tls is None else dict(broker.tls),
                # The exchange without a name puts a message into the list named; any other keeps its bindings in
                # Redis, where a flush would lose them.
                "task_queues": [Queue(name, Exchange(""), routing_key=name) for name in MEMORY_CLASSES],
                "task_default_queue": MEMORY_CLASSES[-1],
            }
        )
    )
    app.finalize()
    for name in list(app.tasks):  # Celery's own (map, chain, ...), which would run on a stranger's word
        app.tasks.unregister(name)
    return app


def wake_up(evaluation_id: str) -> dict[str, Any]:
    """The content of a message: there is something to evaluate. What it is stands in the database."""
    return {"evaluation_id": evaluation_id, "schema": SCHEMA}


def read_wake_up(arguments: tuple[Any, ...], content: Mapping[str, Any]) -> str | None:
    """The id in a message; None, and a warning in the log, if it is not as `wake_up` writes it."""
    evaluation_id, schema = content.get("evaluation_id"), content.get("schema")
    if type(schema) is int and schema != SCHEMA:
        _log.warning("dropped a message of schema %d: this version reads schema %d", schema, SCHEMA)
        return None
    as_written = not arguments and set(content) == {"evaluation_id", "schema"} and type(schema) is int
    if not as_written or not isinstance(evaluation_id, str) or not 0 < len(evaluation_id) <= _LONGEST_ID:
        _log.warning("dropped a message that is no wake-up: it has the keys %s", sorted(map(str, content))[:10])
        return None
    return evaluation_id
