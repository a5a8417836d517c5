"""A fleet in virtual time: workers that come and go ask the real scheduler for work.

Simulated are the queue (claims, leases, at most three attempts), the delay of messages, the fetching of a study's
sources over a shared link when a worker first gets its work, workers that are lost (found out when the lease ends; the
scheduler takes them for alive until then) and hosts that come back as new workers, workers that are slow for a while,
and times that differ from what was expected. Not simulated: how near a candidate is to the resident model.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

from heterosis.core.contracts.scheduler import Scheduler, Standing, Work

from .fleet_clock import Clock
from .fleet_devices import Host
from .fleet_feeding import Feeding
from .fleet_link import Link
from .fleet_losses import LossRecord
from .fleet_worker import Worker
from .fleet_workload import Evaluation


@dataclass(frozen=True)
class Conditions:
    """Assumptions about everything that is not a device or an evaluation. Times in seconds.

    Attributes:
        message_seconds: from a worker to the database or back.
        propose_seconds: what the study takes for one new candidate, one after the other.
        startup_seconds: from the start of a worker's process until it asks.
        poll_seconds, slowest_poll_seconds: how soon one that got nothing asks again, unless a message wakes it: each
            time twice as long, up to the second.
        lease_seconds, beats: how long a lease is, and how often it is renewed in that time.
        away_hours: how long a host that was lost stays away, on average (exponential).
        source_bytes: of one study; `link_bytes_per_second` is shared by all, `host_bytes_per_second` one host's.
    """

    message_seconds: float = 0.05
    propose_seconds: float = 0.05
    startup_seconds: float = 20.0
    poll_seconds: float = 5.0
    slowest_poll_seconds: float = 80.0
    lease_seconds: float = 60.0
    beats: int = 4
    max_attempts: int = 3
    away_hours: float = 0.5
    source_bytes: float = 6e9
    link_bytes_per_second: float = 5e9
    host_bytes_per_second: float = 0.25e9


class Simulation:
    """One run. Everything in it follows from the arguments.

    Attributes:
        waiting, evaluations: those that can be claimed, by id, and all that were ever queued.
        known: the workers that are taken for alive, by id.
        workers: all that there ever were.
        lost_attempts: how often work was lost with its worker.
    """

    def __init__(self, hosts: list[Host], scheduler: Scheduler, feeding: Feeding, conditions: Conditions) -> None:
        self.clock = Clock()
        self.conditions = conditions
        self.waiting: dict[str, Evaluation] = {}
        self.evaluations: list[Evaluation] = []
        self.known: dict[str, Worker] = {}
        self.workers: list[Worker] = []
        self.lost_attempts = 0
        self._scheduler, self._feeding = scheduler, feeding
        self._link = Link(self.clock, conditions.link_bytes_per_second, conditions.host_bytes_per_second)
        self._idle: dict[str, Worker] = {}
        self._proposer_free_at = 0.0
        self._lives: Counter[int] = Counter()
        self._losses = LossRecord()
        for host in hosts:
            self._join(host)
        feeding.start(self)

    @property
    def slots(self) -> int:
        """How many workers are taken for alive."""
        return len(self.known)

    def run(self, hours: float) -> None:
        """Lets so many hours pass since the start."""
        self.clock.run(hours * 3600.0)

    def propose(self, evaluation: Evaluation) -> None:
        """Queues a new evaluation, as soon as the study has proposed it."""
        self._proposer_free_at = max(self.clock.now, self._proposer_free_at) + self.conditions.propose_seconds
        evaluation.queued_at = self._proposer_free_at
        self.evaluations.append(evaluation)
        self.clock.after(self._proposer_free_at - self.clock.now, partial(self._queue, evaluation))

    def _queue(self, evaluation: Evaluation) -> None:
        self.waiting[evaluation.id] = evaluation
        # one message, one worker, in turn; if it leaves the work to others, they find it when they poll
        if self._idle:
            worker = next(iter(self._idle.values()))
            worker.poll_seconds = self.conditions.poll_seconds
            self._wake(worker, worker.questions)

    def _wake(self, worker: Worker, questions: int) -> None:
        """It asks again, unless it has done so already."""
        if worker.questions == questions and self._idle.pop(worker.id, None) is not None:
            self.clock.after(self.conditions.message_seconds, partial(self._ask, worker))

    def _ask(self, worker: Worker) -> None:
        if not worker.alive:
            return
        worker.questions += 1
        chosen = None
        if self.waiting:
            fleet = self._standings()
            works = [self._work(evaluation, worker) for evaluation in self.waiting.values()]
            chosen = self._scheduler.choose(fleet[worker.id], works, list(fleet.values()))
        if chosen is not None:
            worker.poll_seconds = self.conditions.poll_seconds
            self._claim(worker, self.waiting.pop(chosen.id))
        else:
            self._idle[worker.id] = worker
            self.clock.after(worker.poll_seconds, partial(self._wake, worker, worker.questions))
            worker.poll_seconds = min(2 * worker.poll_seconds, self.conditions.slowest_poll_seconds)

    def _claim(self, worker: Worker, evaluation: Evaluation) -> None:
        assert worker.work is None
        evaluation.attempts += 1
        worker.work, worker.claimed_at = evaluation, self.clock.now
        loaded = evaluation.study_id in worker.studies
        fetching = 0.0 if loaded else self.conditions.source_bytes / self.conditions.host_bytes_per_second
        seconds = evaluation.expected_seconds / worker.measured_speed
        worker.expected_end = self.clock.now + 2 * self.conditions.message_seconds + fetching + seconds
        begin = partial(self._evaluate, worker, evaluation)
        fetch = begin if loaded else partial(self._link.fetch, self.conditions.source_bytes, begin)
        self.clock.after(self.conditions.message_seconds, fetch)

    def _evaluate(self, worker: Worker, evaluation: Evaluation) -> None:
        if worker.alive:
            worker.studies.add(evaluation.study_id)
            worker.evaluating_since = self.clock.now
            seconds = evaluation.seconds / worker.speed(self.clock.now)
            self.clock.after(seconds, partial(self._finish, worker, evaluation, seconds))

    def _finish(self, worker: Worker, evaluation: Evaluation, seconds: float) -> None:
        if worker.alive:
            worker.measure(evaluation.expected_seconds, seconds)
            worker.let_go(self.clock.now)
            self.clock.after(self.conditions.message_seconds, partial(self._record, worker, evaluation))

    def _record(self, worker: Worker, evaluation: Evaluation) -> None:
        evaluation.done_at = self.clock.now
        self._feeding.over(self)
        self._ask(worker)

    def _join(self, host: Host) -> None:
        worker = Worker(host, self._lives[host.number], self.clock.now, self.conditions.poll_seconds)
        self._lives[host.number] += 1
        self.workers.append(worker)
        self.known[worker.id] = worker
        self._losses.join(worker)
        self.clock.after(self.conditions.startup_seconds, partial(self._ask, worker))
        if worker.lifetime < float("inf"):
            self.clock.after(worker.lifetime, partial(self._lose, worker))

    def _lose(self, worker: Worker) -> None:
        evaluation = worker.work
        worker.let_go(self.clock.now)
        worker.work = evaluation  # as far as anybody knows
        worker.alive = False
        self._idle.pop(worker.id, None)
        beat = self.conditions.lease_seconds / self.conditions.beats
        silent = self.conditions.lease_seconds - beat * worker.beat_phase
        self.clock.after(silent, partial(self._find_out, worker, evaluation))
        away = worker.away_seconds * self.conditions.away_hours * 3600.0
        self.clock.after(away, partial(self._join, worker.host))

    def _find_out(self, worker: Worker, evaluation: Evaluation | None) -> None:
        del self.known[worker.id]
        self._losses.leave(worker)
        if evaluation is None:
            return
        evaluation.lost += 1
        self.lost_attempts += 1
        if evaluation.attempts < self.conditions.max_attempts:
            self._queue(evaluation)
        else:
            evaluation.failed = True
            self._feeding.over(self)

    def _standings(self) -> dict[str, Standing]:
        """As the database tells: a worker that was just lost is still among them."""
        now = self.clock.now
        return {
            worker.id: Standing(
                id=worker.id,
                device_type=worker.host.kind.name,
                memory_bytes=worker.host.memory_bytes,
                speed=worker.measured_speed,
                price_per_hour=worker.host.kind.price_per_hour,
                losses_per_hour=self._losses.losses_per_hour(worker, now),
                busy_seconds_left=worker.busy_seconds_left(now),
            )
            for worker in self.known.values()
        }

    def _work(self, evaluation: Evaluation, worker: Worker) -> Work:
        now = self.clock.now
        return Work(
            id=evaluation.id,
            study_id=evaluation.study_id,
            seconds=evaluation.expected_seconds,
            priority=evaluation.priority,
            need_bytes=evaluation.need_bytes,
            waited_seconds=now - evaluation.queued_at,
            attempts_lost=evaluation.lost,
            loaded=evaluation.study_id in worker.studies,
            deadline_seconds=None if evaluation.deadline_at is None else evaluation.deadline_at - now,
        )
