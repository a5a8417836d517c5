"""Lets a scheduler choose among what waits: turns records into what it knows of works and workers."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean, median

from ..core.contracts.scheduler import Scheduler, Standing, Work
from ..storage import Store, Waiting, WorkerRecord
from ..storage.pace import Pace, recent_paces
from .schedulers.losses import Record, losses_per_hour

_GUESS_SECONDS = 30.0
_LOOK_SECONDS = 10.0
"""How fast others are changes slowly: it need not be read for each choice."""


class Choosing:
    """What a worker asks its scheduler, in the scheduler's own terms.

    Args:
        worker: as registered.
    """

    def __init__(self, store: Store, scheduler: Scheduler, worker: WorkerRecord) -> None:
        self._store = store
        self._scheduler = scheduler
        self._worker = worker
        self._looked = -_LOOK_SECONDS
        self._fleet: list[Standing] = []
        self._live: set[str] = set()
        self._seconds: Mapping[tuple[str, str], float] = {}
        self._resident: tuple[str, Mapping[str, object]] | None = None
        self.loaded: set[str] = set()

    def look(self) -> None:
        """Reads how the fleet stands, unless it was done lately; not to be called in a transaction."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        paces = recent_paces(self._store.database)
        live = self._store.workers.live()
        records = self._store.workers.all()
        self._live = {worker.id for worker in live}
        self._seconds, speeds = _speeds(paces)
        self._fleet = [self._standing(worker, speeds, records) for worker in live if worker.state == "up"]

    def evaluated(self, waiting: Waiting) -> None:
        """Notes whose model is resident now."""
        self.loaded.add(waiting.study_id)
        self._resident = (waiting.study_id, _genes(waiting))

    def choose(self, waiting: Sequence[Waiting]) -> Waiting | None:
        """What the scheduler wants this worker to do."""
        by_id = {one.evaluation.id: one for one in waiting}
        mine = next((one for one in self._fleet if one.id == self._worker.id), None)
        if mine is None:
            mine = self._standing(self._worker, {}, ())
        chosen = self._scheduler.choose(mine, [self._work(one) for one in waiting], self._fleet or [mine])
        return None if chosen is None else by_id[chosen.id]

    def _work(self, waiting: Waiting) -> Work:
        evaluation = waiting.evaluation
        return Work(
            id=evaluation.id,
            study_id=waiting.study_id,
            seconds=self._seconds.get((waiting.study_id, evaluation.stage), _GUESS_SECONDS),
            priority=evaluation.priority,
            need_bytes=evaluation.need_bytes or 0,
            waited_seconds=waiting.waited_seconds,
            attempts_lost=evaluation.attempt,
            near=self._near(waiting),
            loaded=waiting.study_id in self.loaded,
        )

    def _near(self, waiting: Waiting) -> float:
        """The share of its genes that the resident candidate has too, for that of the tensors, which takes a plan."""
        if self._resident is None or self._resident[0] != waiting.study_id:
            return 0.0
        mine, resident = _genes(waiting), self._resident[1]
        if not mine:
            return 0.0
        return sum(resident.get(name) == value for name, value in mine.items()) / len(mine)

    def _standing(
        self, worker: WorkerRecord, speeds: Mapping[str, float], records: Collection[WorkerRecord]
    ) -> Standing:
        device_type = str(worker.device.get("type", "cpu"))
        busy = 0.0
        if worker.evaluation_id is not None and worker.id != self._worker.id:
            seconds = fmean(self._seconds.values()) if self._seconds else _GUESS_SECONDS
            taken = (worker.last_seen_at - (worker.claimed_at or worker.last_seen_at)).total_seconds()
            busy = seconds - taken if taken < seconds else taken
        return Standing(
            id=worker.id,
            device_type=device_type,
            memory_bytes=int(worker.device.get("memory_bytes", 0)),
            speed=speeds.get(worker.owner, 1.0),
            price_per_hour=float(worker.device.get("price_per_hour", 0.0)),
            losses_per_hour=losses_per_hour(
                self._record([one for one in records if one.host == worker.host]),
                self._record([one for one in records if one.device.get("type") == device_type]),
            ),
            busy_seconds_left=busy,
        )

    def _record(self, workers: Sequence[WorkerRecord]) -> Record:
        """How many of them fell silent without a word, and how long all of them lived."""
        lost = sum(worker.state != "gone" and worker.id not in self._live for worker in workers)
        hours = sum((worker.last_seen_at - worker.started_at).total_seconds() for worker in workers) / 3600.0
        return Record(lost, hours)


def _genes(waiting: Waiting) -> Mapping[str, object]:
    return {} if waiting.genome is None else dict(json.loads(waiting.genome))


def _speeds(paces: Sequence[Pace]) -> tuple[dict[tuple[str, str], float], dict[str, float]]:
    """By study and stage, how long an evaluation takes; by worker, how much faster than that it is."""
    by_kind: dict[tuple[str, str], list[float]] = defaultdict(list)
    for pace in paces:
        by_kind[pace.study_id, pace.stage].append(pace.seconds)
    usual = {kind: max(median(seconds), 1e-3) for kind, seconds in by_kind.items()}
    by_worker: dict[str, list[float]] = defaultdict(list)
    for pace in paces:
        by_worker[pace.worker].append(max(pace.seconds, 1e-3) / usual[pace.study_id, pace.stage])
    return usual, {worker: 1.0 / median(ratios) for worker, ratios in by_worker.items()}
