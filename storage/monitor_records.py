"""What `Monitor` sees of a fleet: frozen values, with ages by the database's clock at the moment of looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .records import EvaluationState, Stage


@dataclass(frozen=True)
class QueueDepth:
    """How much waits and runs in a queue at a priority.

    Attributes:
        held: of those queued, how many wait for their study to go on: nobody takes them before.
        workers: how many live workers take from the queue; if none does, what is queued there waits for ever.
    """

    queue: str
    priority: int
    queued: int
    held: int
    running: int
    workers: int


@dataclass(frozen=True)
class Subject:
    """An evaluation as people know it.

    Attributes:
        candidate: `candidate 17`, or the label of a reference.
        number: the candidate's; None for a reference.
        part: 0, 1, ... where a candidate is asked step by step.
    """

    evaluation_id: str
    study: str
    candidate: str
    number: int | None
    stage: Stage
    part: int


@dataclass(frozen=True)
class RunningEvaluation:
    """An evaluation under way.

    Attributes:
        worker: the owner of its lease (`owners.this_process`).
        host, device: of that worker; the device is None if it has not registered.
        progress: the share that is done, in [0, 1]; None if it was not told.
        seconds: since this attempt began.
        lease_seconds: until the lease ends; negative if it has, and another worker may take over.
    """

    subject: Subject
    queue: str
    worker: str
    host: str
    pid: int | None
    device: str | None
    attempt: int
    max_attempts: int
    progress: float | None
    seconds: float
    lease_seconds: float


@dataclass(frozen=True)
class Failure:
    """An evaluation that failed for good.

    Attributes:
        kind: in a word: `weights`, `scores`, `memory`, `lost`, `plugin`...
        seconds_ago: since it failed.
    """

    subject: Subject
    kind: str
    text: str
    worker: str
    attempts: int
    at: datetime
    seconds_ago: float


@dataclass(frozen=True)
class AttemptSeen:
    """One attempt at an evaluation, and what its process left behind.

    Attributes:
        outcome: how it ended; None while it is under way.
        exit_signal: that ended the process which evaluated, where it was one.
        log_tail: the last that it wrote.
    """

    attempt: int
    worker: str
    outcome: str | None
    exit_signal: int | None
    peak_bytes: int | None
    log_tail: str | None


@dataclass(frozen=True)
class Quarantined:
    """An evaluation that lost every worker which tried it, and is given to no more."""

    failure: Failure
    attempts: tuple[AttemptSeen, ...]


@dataclass(frozen=True)
class Throughput:
    """How many evaluations ended, successes and failures, within the last minute, ten minutes and hour."""

    minute: int
    ten_minutes: int
    hour: int
    failed_hour: int


@dataclass(frozen=True)
class Outlook:
    """When the queue will be empty if nothing is added.

    Attributes:
        mean_seconds: of the latest successes; None if there is none.
        workers: how many evaluate at the same time.
        seconds_left: None if it cannot be said: nothing has succeeded yet, or nobody works.
    """

    mean_seconds: float | None
    workers: int
    seconds_left: float | None


@dataclass(frozen=True)
class WorkerSeen:
    """A worker, and when it last gave a sign of life.

    Attributes:
        state: `up`, `draining`, `drifted` or `gone`, as recorded; `lost` if it has been silent for two leases, or its
            process has ended without a word (which is seen on the same host only).
        evaluation: what it evaluates now, the first if several together.
        refused: why it cannot evaluate a study that is running, by the study's name (a plugin that it lacks).
        silent_seconds: since its last sign of life.
    """

    id: str
    owner: str
    host: str
    pid: int
    kind: str
    version: str
    queues: tuple[str, ...]
    device: Mapping[str, Any]
    state: str
    reason: str | None
    evaluation: Subject | None
    done: int
    failed: int
    refused: Mapping[str, str]
    started_at: datetime
    last_seen_at: datetime
    silent_seconds: float

    @property
    def device_name(self) -> str | None:
        """`cuda:0`, `cpu`...; None if it did not say."""
        name = self.device.get("name")
        return None if name is None else str(name)


@dataclass(frozen=True)
class FleetView:
    """All of it, as of one moment.

    Attributes:
        held: by name of a study that is not running now, how many of its evaluations are queued.
    """

    at: datetime
    depths: tuple[QueueDepth, ...]
    held: Mapping[str, int]
    running: tuple[RunningEvaluation, ...]
    workers: tuple[WorkerSeen, ...]
    throughput: Throughput
    outlook: Outlook
    failures: tuple[Failure, ...]
    quarantined: tuple[Quarantined, ...]

    def count(self, state: EvaluationState) -> int:
        """How many evaluations are `queued` or `running`, over all queues."""
        return sum(depth.queued if state == "queued" else depth.running for depth in self.depths)
