"""Prometheus metrics of the whole fleet, read from the database when they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..core.errors import StorageError

if TYPE_CHECKING:
    from ..storage import Store

_STATES = ("up", "draining", "drifted", "lost")


class FleetCollector(Collector):
    """Queue depth, workers by state and the outlook; `heterosis_database_up` is 0 while the database is not to be read.

    Every process that offers these reads the same database, so take `max`, not `sum`, over instances.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> list[Metric]:
        """Nothing: registering is then no reason to read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics as of now."""
        try:
            fleet = self._store.monitor.fleet(failures=0)
        except StorageError:
            yield GaugeMetricFamily("heterosis_database_up", "1 if the database answers.", value=0)
            return
        yield GaugeMetricFamily("heterosis_database_up", "1 if the database answers.", value=1)
        depth = GaugeMetricFamily(
            "heterosis_queue_depth", "Evaluations that wait or run.", labels=["queue", "priority", "state"]
        )
        for one in fleet.depths:
            depth.add_metric([one.queue, str(one.priority), "queued"], one.queued)
            depth.add_metric([one.queue, str(one.priority), "running"], one.running)
        yield depth
        workers = GaugeMetricFamily("heterosis_workers", "Workers by state.", labels=["state"])
        states = Counter(worker.state for worker in fleet.workers)
        for state in _STATES:
            workers.add_metric([state], states[state])
        yield workers
        if fleet.outlook.seconds_left is not None:
            left = fleet.outlook.seconds_left
            yield GaugeMetricFamily(
                "heterosis_queue_left_seconds", "Until the queue is empty, as foreseen.", value=left
            )


def render_fleet(store: Store) -> bytes:
    """The fleet's metrics in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(FleetCollector(store))
    return generate_latest(registry)
