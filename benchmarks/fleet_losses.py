"""What the record of a simulated fleet says about how often its workers are lost."""

from __future__ import annotations

from collections import Counter, defaultdict

from heterosis.workers.schedulers.losses import Record, losses_per_hour

from .fleet_devices import Host, Kind
from .fleet_worker import Worker

REFRESH_SECONDS = 60.0
HOUR = 3600.0


class LossRecord:
    """Lives that have ended, and those that go on: leaving the second out would make every worker look short-lived."""

    def __init__(self) -> None:
        self._hosts: defaultdict[Host, Record] = defaultdict(Record)
        self._kinds: defaultdict[Kind, Record] = defaultdict(Record)
        self._alive: Counter[Kind] = Counter()
        self._joined_at: defaultdict[Kind, float] = defaultdict(float)  # sums over those alive
        self._known: dict[str, tuple[float, float]] = {}

    def join(self, worker: Worker) -> None:
        """A worker is there."""
        self._alive[worker.host.kind] += 1
        self._joined_at[worker.host.kind] += worker.joined_at

    def leave(self, worker: Worker) -> None:
        """Its lease has ended."""
        self._alive[worker.host.kind] -= 1
        self._joined_at[worker.host.kind] -= worker.joined_at
        self._hosts[worker.host] = _and_one(self._hosts[worker.host], worker)
        self._kinds[worker.host.kind] = _and_one(self._kinds[worker.host.kind], worker)

    def losses_per_hour(self, worker: Worker, now: float) -> float:
        """What is expected of the worker; read from the record once a minute."""
        rate, until = self._known.get(worker.id, (0.0, 0.0))
        if now >= until:
            host, kind = self._hosts[worker.host], self._kinds[worker.host.kind]
            going_on = self._alive[worker.host.kind] * now - self._joined_at[worker.host.kind]
            rate = losses_per_hour(
                Record(host.losses, host.hours + (now - worker.joined_at) / HOUR),
                Record(kind.losses, kind.hours + going_on / HOUR),
            )
            self._known[worker.id] = (rate, now + REFRESH_SECONDS)
        return rate


def _and_one(record: Record, worker: Worker) -> Record:
    """With a life that has ended."""
    return Record(record.losses + 1, record.hours + worker.lifetime / HOUR)
