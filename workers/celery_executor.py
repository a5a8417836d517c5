"""The executor `celery`: workers on any machine, woken through a Redis-protocol broker."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from ..core.errors import BrokerError, ConfigurationError
from ..fitness.evaluator import Evaluator
from ..storage import EvaluationRecord, Store
from ..storage.queue import LEASE_SECONDS
from .broker import broker_of, check_reachable
from .dispatch import FleetExecutor

_log = logging.getLogger(__name__)


class CeleryExecutor(FleetExecutor):
    """Wakes workers that `heterosis worker` started elsewhere, on the same database and broker.

    Args:
        broker: its URL, see `broker.parse_broker`; default: that of HETEROSIS_BROKER.
        priority, lease_seconds: see `FleetExecutor`.

    Raises:
        ConfigurationError: no broker is named, it refuses us, or Celery is not installed.
    """

    kind: ClassVar[str] = "celery"

    def __init__(
        self,
        store: Store,
        evaluator: Evaluator,
        *,
        broker: str | None = None,
        priority: int = 0,
        lease_seconds: float = LEASE_SECONDS,
        **others: Any,
    ) -> None:
        if others:
            raise ConfigurationError(f"the executor {self.kind!r} has no option {next(iter(others))!r}")
        super().__init__(store, evaluator, priority=priority, lease_seconds=lease_seconds)
        self._broker = broker_of(broker)
        from .celery_publisher import Publisher  # not before it is known that Celery is there

        self._publisher = Publisher(self._broker)
        self._reached = False

    def submit(self, evaluation_ids: Sequence[str]) -> None:
        """Gives them to workers; see the contract.

        Raises:
            BrokerError: the broker does not answer at the very first time, and there is no worker that might evaluate
                without it. Later, an executor waits until it is back.
        """
        if not self._reached:
            self._reach()
        super().submit(evaluation_ids)

    def close(self) -> None:
        """Gives the connection back; the workers live on."""
        self._publisher.close()

    def _reach(self) -> None:
        try:
            check_reachable(self._broker)
        except BrokerError as error:
            if not self._store.workers.live():
                raise
            _log.warning("%s. Workers that are up look for work by themselves meanwhile", error)
        self._reached = True

    def _publish(self, records: Sequence[EvaluationRecord]) -> None:
        self._publisher.publish([(record.id, record.queue) for record in records])

    def _tend(self) -> None:
        pass  # its workers are not its own
