"""The Celery application for tools that watch a fleet through the broker: Flower, `celery status`, `celery inspect`.

    celery -A heterosis.workers.celery_watch flower --address=127.0.0.1 --read_only=True

The broker is read from HETEROSIS_BROKER. A tool that is only given the broker's URL sees nothing: every key in it has
our prefix, so that others may share the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

    app: Celery


def __getattr__(name: str) -> Any:
    """`app`, made when it is asked for: importing this module needs no broker.

    Raises:
        ConfigurationError: HETEROSIS_BROKER is not set, or cannot be used.
    """
    if name != "app":
        raise AttributeError(name)
    from .broker import broker_of
    from .celery_app import make_app

    found = globals()["app"] = make_app(broker_of(None))
    return found
