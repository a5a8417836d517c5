"""How many messages wait in the queues of the broker."""

from __future__ import annotations

from collections.abc import Iterable

import redis
from celery import Celery
from kombu.exceptions import KombuError, OperationalError

from ..core.errors import BrokerError

LOST = (redis.exceptions.RedisError, KombuError, OperationalError, OSError)
"""What is raised when a broker is down, hangs or refuses."""


def messages_waiting(app: Celery, queues: Iterable[str]) -> dict[str, int]:
    """How many messages wait in each queue, over a connection of its own.

    Raises:
        BrokerError: the broker does not answer.
    """
    try:
        with app.connection_for_read() as connection, connection.channel() as channel:
            return {queue: channel.queue_declare(queue=queue).message_count for queue in queues}
    except LOST as error:
        raise BrokerError(f"the broker does not answer: {error}") from error
