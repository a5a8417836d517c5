"""The settings of Celery, each with its reason; a key that Celery would silently ignore is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.errors import ConfigurationError, did_you_mean

KEY_PREFIX = "heterosis:"
VISIBILITY_SECONDS = 60

SETTINGS: Mapping[str, Any] = {
    # JSON on both sides: nothing is ever unpickled, not even what a stranger puts into the queue.
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    "event_serializer": "json",
    # Results are rows of the database, written under the fencing token; through the broker nothing comes back.
    "result_backend": None,
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    # Acknowledged when it starts. Late, a task that outlasts the visibility timeout is run again and again, and one
    # that kills its process for ever; the lease in the database brings back what a dead worker leaves behind.
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # What waits stays in the list, for whichever worker is free first. The multiplier is for a broker or a version
    # that does not know the first setting.
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    "worker_enable_prefetch_count_reduction": False,
    # One evaluation at a time, in a thread: see `celery_worker` for why a thread.
    "worker_pool": "threads",
    "worker_concurrency": 1,
    # The drain has a grace of its own; Celery's would keep an idle worker waiting.
    "worker_soft_shutdown_timeout": 0.0,
    "worker_enable_soft_shutdown_on_idle": False,
    # A broker that is away comes back; until then a worker waits, also at its start.
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": 5.0,
    "broker_transport_options": {
        "global_keyprefix": KEY_PREFIX,  # others may share the server
        "socket_connect_timeout": 5,
        "socket_timeout": 30,  # a connection that died silently is found out
        "socket_keepalive": True,
        "retry_on_timeout": True,
        "health_check_interval": 15,
        # Only for a message on its way while its worker dies: acknowledged ones are not looked at.
        "visibility_timeout": VISIBILITY_SECONDS,
    },
    # The executor publishes again later; its loop must not stand still for a broker that is down.
    "task_publish_retry": True,
    "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 1},
    # A misspelt queue is an error and not a list that nobody reads.
    "task_create_missing_queues": False,
    # Flower shows what runs where; nobody needs to hear that a message was sent.
    "worker_enable_remote_control": True,
    "worker_send_task_events": True,
    "task_send_sent_event": False,
    # Logs are this program's.
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
}


def checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as Celery takes them.

    Raises:
        ConfigurationError: a key, or one among the options of the transport, is unknown to the installed Celery or
            written in another style (CELERY_...), and would be ignored silently.
    """
    from celery.app.defaults import SETTING_KEYS
    from kombu.transport.redis import Channel

    _refuse_unknown("setting", settings, SETTING_KEYS)
    _refuse_unknown("transport option", settings.get("broker_transport_options", {}), Channel.from_transport_options)
    return dict(settings)


def _refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    valid = set(known)
    for key in given:
        if key not in valid:
            nearest = did_you_mean(key, valid).partition(" Valid names:")[0]
            raise ConfigurationError(f"the installed Celery has no {what} {key!r} and would ignore it. {nearest}")
