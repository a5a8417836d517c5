"""Prometheus metrics: what a worker counts and measures, defined here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from ..core.errors import ConfigurationError

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from prometheus_client import CollectorRegistry

    from ..storage import Store

Outcome: TypeAlias = Literal["succeeded", "failed", "lost", "memory", "timeout", "released", "cancelled", "fenced"]
Beat: TypeAlias = Literal["kept", "failed", "fenced"]

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)
"""Upper ends of the histograms: a tiny model is merged in a hundredth of a second, a large one asked for an hour."""


class WorkerMetrics:
    """What one worker tells Prometheus. Without the extra `metrics`, every method does nothing.

    Each worker has its own, so that tests and several workers in a process do not count together. Safe to call from
    any thread.
    """

    def __init__(self, worker: str = "", device: str = "", version: str = "") -> None:
        """Prepares the metrics.

        Args:
            worker: the worker's id.
            device: `cuda:0`, `cpu`...
            version: of this package.
        """
        self._definitions = _definitions()
        if self._definitions is not None:
            self._definitions.worker.labels(worker, device, version).set(1)
        self._server: tuple[WSGIServer, Thread] | None = None

    def evaluated(self, outcome: Outcome, seconds: Mapping[str, float] | None = None, items: int = 0) -> None:
        """An attempt ended.

        Args:
            outcome: as recorded in `attempts`, or `fenced`: another had taken over, and the result was discarded.
            seconds: by phase: `merge`, `score`.
            items: how many items were asked; their rate is `rate(heterosis_items_total[1m])`.
        """
        if self._definitions is None:
            return
        self._definitions.evaluations.labels(outcome).inc()
        self._definitions.items.inc(items)
        for phase, duration in (seconds or {}).items():
            self._definitions.phases.labels(phase).observe(duration)
        if outcome == "lost":
            self._definitions.lost.inc()

    def loaded(self, seconds: float) -> None:
        """A study was loaded."""
        if self._definitions is not None:
            self._definitions.phases.labels("load").observe(seconds)

    def beat(self, outcome: Beat | bool) -> None:
        """The lease was extended (`kept`, True), could not be (`failed`, False), or is another's (`fenced`)."""
        if self._definitions is not None:
            word = ("kept" if outcome else "failed") if isinstance(outcome, bool) else outcome
            self._definitions.beats.labels(word).inc()

    def reaped(self, attempts: int) -> None:
        """So many attempts of workers that fell silent were taken back by this process."""
        if self._definitions is not None:
            self._definitions.lost.inc(attempts)

    def memory(self, used_bytes: int, total_bytes: int) -> None:
        """The device's memory as it is now."""
        if self._definitions is not None:
            self._definitions.memory.labels("used").set(used_bytes)
            self._definitions.memory.labels("total").set(total_bytes)

    def running(self, evaluations: int) -> None:
        """How many evaluations are under way: 0 while the worker waits."""
        if self._definitions is not None:
            self._definitions.running.set(evaluations)

    def watch(self, store: Store) -> None:
        """Adds the queue's depth and the workers' states, read from the database whenever metrics are asked for."""
        if self._definitions is not None:
            from .fleet_metrics import FleetCollector

            self._definitions.registry.register(FleetCollector(store))

    def render(self) -> bytes:
        """All of it in the text format of Prometheus; empty without the extra."""
        if self._definitions is None:
            return b""
        from prometheus_client import generate_latest

        return generate_latest(self._definitions.registry)

    def serve(self, port: int, host: str = "127.0.0.1") -> int:
        """Answers `GET /metrics` from a thread of its own until `close`; the port.

        Args:
            port: 0 takes any that is free (on the command line, 0 means not to serve).
            host: whoever reaches it can read the metrics: leave it at loopback unless the network is trusted.

        Raises:
            ConfigurationError: prometheus-client is missing, or the address cannot be used.
        """
        if self._definitions is None:
            raise ConfigurationError(
                "--metrics-port needs prometheus-client, which is missing: pip install 'heterosis[metrics]'"
            )
        from prometheus_client import start_http_server

        try:
            server, thread = start_http_server(port, host, self._definitions.registry)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"metrics cannot be served at {host}:{port} ({error}): give another --metrics-port or --metrics-host"
            ) from error
        self._server = (server, thread)
        return int(server.server_port)

    def close(self) -> None:
        """Stops serving."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None


class _Definitions:
    """Every metric of a worker: name, help, labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram, ProcessCollector

        self.registry = registry
        ProcessCollector(registry=registry)
        self.worker = Gauge(
            "heterosis_worker_info", "1, with what the worker is.", ["worker", "device", "version"], registry=registry
        )
        self.evaluations = Counter(
            "heterosis_evaluations", "Attempts at evaluations that ended, by how.", ["outcome"], registry=registry
        )
        self.lost = Counter(
            "heterosis_attempts_lost", "Attempts whose process or worker died, as noticed here.", registry=registry
        )
        self.items = Counter("heterosis_items", "Items that candidates were asked.", registry=registry)
        self.phases = Histogram(
            "heterosis_phase_seconds",
            "Wall-clock seconds of an evaluation in each phase (load, merge, score).",
            ["phase"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.beats = Counter(
            "heterosis_lease_beats", "Attempts to extend a lease, by how they ended.", ["outcome"], registry=registry
        )
        self.memory = Gauge("heterosis_device_memory_bytes", "Memory of the device.", ["kind"], registry=registry)
        self.running = Gauge("heterosis_evaluations_running", "Evaluations under way here.", registry=registry)
        for outcome in get_args(Outcome):  # a series that begins with its first event has no rate for it
            self.evaluations.labels(outcome)
        for outcome in get_args(Beat):
            self.beats.labels(outcome)


def render(store: Store) -> bytes:
    """The fleet's metrics, for a service to answer `GET /metrics` with; empty without the extra."""
    if _definitions() is None:
        return b""
    from .fleet_metrics import render_fleet

    return render_fleet(store)


def _definitions() -> _Definitions | None:
    try:
        from prometheus_client import CollectorRegistry
    except ModuleNotFoundError:
        return None
    return _Definitions(CollectorRegistry())
