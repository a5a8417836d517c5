"""The executor `processes`: a worker process for each device of this machine, without a broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ..core.errors import ConfigurationError
from ..fitness.evaluator import Evaluator
from ..storage import EvaluationRecord, Store
from ..storage.queue import LEASE_SECONDS
from .devices import devices_apart
from .dispatch import FleetExecutor
from .keeper import Keeper
from .process import STORAGE_VARIABLE, Told
from .settings import WorkerSettings


class ProcessesExecutor(FleetExecutor):
    """Starts its workers when there is something to evaluate, and ends them when it is closed.

    Args:
        devices: `all`, or names separated by commas (`cuda:0,cuda:1`; `cpu,cpu` are two workers on the CPU).
        each: so many workers share a device.
        cores: of each worker on the CPU; default: all there are, divided among them.
        priority, lease_seconds: see `FleetExecutor`.
        limit_seconds: an evaluation that takes longer is ended; default: no limit.
        grace_seconds: when it is closed, what runs may take so long; then it is handed back.
        quiet: what workers log is not shown.
    """

    kind: ClassVar[str] = "processes"

    def __init__(
        self,
        store: Store,
        evaluator: Evaluator,
        *,
        devices: str = "all",
        each: int = 1,
        cores: int | None = None,
        priority: int = 0,
        lease_seconds: float = LEASE_SECONDS,
        limit_seconds: float | None = None,
        grace_seconds: float = 5.0,
        quiet: bool = True,
        **others: Any,
    ) -> None:
        if others:
            raise ConfigurationError(f"the executor {self.kind!r} has no option {next(iter(others))!r}")
        super().__init__(store, evaluator, priority=priority, lease_seconds=lease_seconds)
        self._devices = devices
        self._each = each
        self._cores = cores
        self._limit_seconds = limit_seconds
        self._grace_seconds = grace_seconds
        self._quiet = quiet
        self._keeper: Keeper | None = None
        self._workers = 0

    @property
    def slots(self) -> int:
        """One for each worker, from the start."""
        self._started()
        return self._workers

    def close(self) -> None:
        """Ends the workers; what they evaluate is finished if it takes no longer than the grace."""
        if self._keeper is not None:
            self._keeper.end()
            self._keeper = None

    def _publish(self, records: Sequence[EvaluationRecord]) -> None:
        self._started().wake()

    def _tend(self) -> None:
        keeper = self._started()
        keeper.tend()
        if keeper.refused:
            raise ConfigurationError("no worker process can be started; `heterosis worker` shows why")

    def _started(self) -> Keeper:
        if self._keeper is None:
            told = [
                Told(
                    WorkerSettings(
                        kind="processes",
                        device=part.name,
                        device_type=part.type,
                        memory_bytes=part.memory_bytes,
                        cores=part.cores,
                        lease_seconds=self._lease_seconds,
                        limit_seconds=self._limit_seconds,
                    ),
                    f"{part.name}-{number}",
                    grace_seconds=self._grace_seconds,
                )
                for number, part in enumerate(devices_apart(self._devices, self._each, self._cores))
            ]
            self._workers = len(told)
            self._keeper = Keeper(told, {STORAGE_VARIABLE: self._store.database.address}, self._quiet)
            self._keeper.start()
        return self._keeper
