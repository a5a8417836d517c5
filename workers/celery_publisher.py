"""Tells the workers through the broker that there is something to evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ..core.errors import BrokerError
from .broker import BROKER_VARIABLE, NO_WAITING, Broker
from .celery_app import TASK, make_app, wake_up
from .celery_depth import LOST

_TIMEOUTS = {"socket_connect_timeout": 2, "socket_timeout": 3, "retry_on_timeout": False}


class Publisher:
    """Sends wake-ups; keeps one connection, and makes another after an error. For one thread at a time."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._app = make_app(broker, {"broker_transport_options": _TIMEOUTS})
        self._connection = self._app.connection_for_write()

    def publish(self, evaluations: Sequence[tuple[str, str]]) -> None:
        """Sends one message for each evaluation.

        Args:
            evaluations: id and memory class (the name of the queue) of each.

        Raises:
            BrokerError: the broker is down; some may have been sent. Workers drop what is sent twice.
        """
        if not evaluations:
            return
        try:
            self._connection.ensure_connection(**NO_WAITING)
            producer = self._app.amqp.Producer(self._connection.channel(), auto_declare=False)
            with producer:
                for evaluation_id, queue in evaluations:
                    self._app.send_task(
                        TASK, kwargs=wake_up(evaluation_id), queue=queue, producer=producer, retry=False
                    )
        except LOST as error:
            self.close()
            self._connection = self._app.connection_for_write()
            raise BrokerError(
                f"the broker {self._broker.where} does not answer ({error}); start it again, or correct the URL in "
                f"{BROKER_VARIABLE}. Nothing is lost: what was not sent is sent later"
            ) from error

    def close(self) -> None:
        """Gives the connection back; it never waits for a broker that is down."""
        with suppress(*LOST):
            self._connection.release()
