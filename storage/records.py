"""What the store gives and takes: frozen values, never a live row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..core.errors import StorageError
from ..core.estimate import Estimate
from ..core.genome import Genome, content_hash

if TYPE_CHECKING:
    from ..core.contracts import Item

StudyState: TypeAlias = Literal["created", "running", "paused", "complete", "failed"]
CandidateKind: TypeAlias = Literal["bred", "reference"]
CandidateState: TypeAlias = Literal["proposed", "evaluating", "complete", "failed"]
Stage: TypeAlias = Literal["search", "validation", "test"]
EvaluationState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
AttemptOutcome: TypeAlias = Literal[
    "succeeded", "failed", "lost", "memory", "timeout", "released", "cancelled", "distrusted"
]
WorkerState: TypeAlias = Literal["up", "draining", "drifted", "gone"]


LATER_PARTS = 900
"""Parts below are the rounds of the race of the ask that a candidate was proposed in."""
RETEST_PART = 998
"""The part that the best are asked again when the search is over."""
REST_PART = 999
"""The part of all items that a candidate was not asked otherwise."""
CHECK_PART = 1000
"""The same, asked to check estimates: the search does not look at it, and goes on as if it were not there."""


@dataclass(frozen=True)
class StudyRecord:
    """A study; `spec_sha256` is the hash of the canonical JSON of `spec`."""

    id: str
    name: str
    spec: Mapping[str, Any]
    spec_sha256: str
    seed: int
    state: StudyState
    plugin_versions: Mapping[str, str]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class NewProposal:
    """What an optimizer proposed, decoded.

    Attributes:
        recipe: how to build it, JSON-ready.
        fingerprint: SHA-256 of the recipe: the same in a study means the same candidate.
        eval_key: SHA-256 of all that its score depends on: the same in any study means the same responses. None if
            its items are chosen later.
        parents: numbers of the candidates it was bred from.
    """

    genome: Genome
    recipe: Mapping[str, Any]
    fingerprint: str
    eval_key: str | None
    operator: str
    parents: tuple[int, ...] = ()


@dataclass(frozen=True)
class EvaluationRecord:
    """One candidate at one stage, or a part of its items there: waiting, running, or done.

    Attributes:
        part: 0, 1, ...: a candidate that is asked step by step has an evaluation for each step, and
            perhaps RETEST_PART, REST_PART and CHECK_PART.
        items: by task, the ids of the items that this part asks; None: all of the stage's.
        attempt: how often it was claimed; a result counts only if it carries the latest.
        lease_owner: who claimed it last and has it still, or None.
        worker: who claimed it last.
        queue: the memory class that it needs.
        priority: of two that wait, the one of the higher number comes first.
        company: the first of those that are computed together with it; None if it is alone.
        need_bytes: device memory that it takes, as foreseen, or None.
        seconds: wall-clock seconds by phase, empty until it succeeded.
    """

    id: str
    candidate_id: str
    stage: Stage
    part: int
    items: Mapping[str, tuple[str, ...]] | None
    eval_key: str
    state: EvaluationState
    attempt: int
    max_attempts: int
    lease_owner: str | None
    lease_expires_at: datetime | None
    worker: str | None
    queue: str
    priority: int
    company: str | None
    need_bytes: int | None
    cancel_requested_at: datetime | None
    error_kind: str | None
    error_text: str | None
    seconds: Mapping[str, float]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_last_chance(self) -> bool:
        """Whether it waits for, or is at, the last of its attempts."""
        left = self.max_attempts - self.attempt
        return left <= (1 if self.state == "queued" else 0)


@dataclass(frozen=True)
class Ending:
    """How an attempt at an evaluation ended.

    Attributes:
        exit_signal: the signal that ended the process which evaluated, if one did.
        peak_bytes: the most device memory that it took, if known.
        log_tail: the last that it wrote to its log; the last 8 KiB are kept.
    """

    outcome: AttemptOutcome
    exit_signal: int | None = None
    peak_bytes: int | None = None
    log_tail: str | None = None


@dataclass(frozen=True)
class Claim:
    """An evaluation that is this process's to do, for as long as its lease is beaten.

    Attributes:
        attempt: the number that every write about it must carry.
    """

    evaluation: EvaluationRecord
    attempt: int


@dataclass(frozen=True)
class WorkerRecord:
    """A process that evaluates, as last heard of.

    Attributes:
        owner: see `owners.this_process`.
        kind: the executor that it works for: `local`, `processes` or `celery`.
        queues: the memory classes that it takes.
        device: `name`, `type`, `memory_bytes` and more, JSON.
        reason: why it takes no more work, or went.
        evaluation_id: what it evaluates now.
        claimed_at: when it last took work.
    """

    id: str
    owner: str
    host: str
    pid: int
    version: str
    kind: str
    queues: tuple[str, ...]
    device: Mapping[str, Any]
    state: WorkerState
    reason: str | None
    evaluation_id: str | None
    claimed_at: datetime | None
    done: int
    failed: int
    environment_id: str | None
    started_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True)
class CandidateRecord:
    """A candidate and all that was measured of it.

    Attributes:
        number: its place in the study, from 0; None for a reference.
        label: a reference's name (`base`, an expert's); None for a bred candidate.
        operator: how it was first proposed; None for a reference.
        parents: the numbers of its parents, in order.
        failure: why it failed, or None.
        evaluations: by stage; of several parts, the last.
        measurements: by stage, then by objective.
    """

    id: str
    study_id: str
    kind: CandidateKind
    number: int | None
    label: str | None
    ask_no: int | None
    genome: Genome | None
    recipe: Mapping[str, Any]
    fingerprint: str
    operator: str | None
    parents: tuple[int, ...]
    state: CandidateState
    failure: str | None
    created_at: datetime
    evaluations: Mapping[Stage, EvaluationRecord]
    measurements: Mapping[Stage, Mapping[str, Estimate]]

    def is_over(self, stage: Stage) -> bool:
        """Whether all that is to be known of it at a stage is known: it was measured there, or failed."""
        evaluation = self.evaluations.get(stage)
        failed = evaluation is not None and evaluation.state in ("failed", "cancelled")
        return bool(self.measurements.get(stage)) or failed or (stage == "search" and self.state == "failed")


@dataclass(frozen=True)
class ToldRecord:
    """The values of a study's objectives that an optimizer was told, and their standard errors (NaN: unknown)."""

    values: tuple[float, ...]
    errors: tuple[float, ...]


@dataclass(frozen=True)
class AskRecord:
    """An ask as it was recorded; one genome proposed twice is one candidate, listed twice.

    Attributes:
        candidates: in the order proposed.
        operators: how each was proposed, in the same order.
        told: what the optimizer learned of each (None: that it failed), in the same order; None if it has not yet, or
            an older version did not note it.
        told_at: when the optimizer learned all the results, or None.
        tells_before: how many asks had been told when this one was made; None where asks take turns.
        tell_no: how many asks had been told before this one was; None where asks take turns, or it was not told yet.
    """

    number: int
    candidates: tuple[CandidateRecord, ...]
    operators: tuple[str, ...]
    told: tuple[ToldRecord | None, ...] | None
    created_at: datetime
    told_at: datetime | None
    tells_before: int | None = None
    tell_no: int | None = None


@dataclass(frozen=True)
class Relative:
    """A parent or a child of a candidate, and the operator that made the child."""

    candidate_id: str
    number: int | None
    operator: str


@dataclass(frozen=True)
class Lineage:
    """A candidate's nearest relatives: parents in the order of the operator, children by number."""

    parents: tuple[Relative, ...]
    children: tuple[Relative, ...]


@dataclass(frozen=True)
class ItemSet:
    """Items in order under a scoring rule; `id` is the SHA-256 of both, so a changed question is another set."""

    id: str
    item_ids: tuple[str, ...]

    @classmethod
    def joined(cls, *parts: ItemSet) -> ItemSet:
        """What was asked in several parts, as one set; its id is the hash of theirs."""
        ids = tuple(item for part in parts for item in part.item_ids)
        return cls(content_hash([part.id for part in parts]), ids)

    @classmethod
    def of(cls, rule: Mapping[str, Any], items: Sequence[Item]) -> ItemSet:
        """The set of a task's `items` (all of them or some) under its `rule`."""
        asked = [[item.id, dict(item.data)] for item in items]
        return cls(content_hash({"rule": dict(rule), "items": asked}), tuple(item.id for item in items))


@dataclass(frozen=True)
class Responses:
    """One score in [0, 1] for each item of the set, in its order; `task` is the study's name for the task.

    Raises:
        StorageError: there is not one score per item, or a score is NaN or infinite.
    """

    task: str
    item_set: ItemSet
    scores: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.item_set.item_ids):
            raise StorageError(f"task {self.task!r}: {len(self.scores)} scores for {len(self.item_set.item_ids)} items")
        for item_id, score in zip(self.item_set.item_ids, self.scores, strict=True):
            if not 0.0 <= score <= 1.0:
                raise StorageError(f"task {self.task!r} scored item {item_id!r} {score}; a score is between 0 and 1")

    def joined(self, other: Responses) -> Responses:
        """These and those of other items of the same task."""
        return Responses(self.task, ItemSet.joined(self.item_set, other.item_set), (*self.scores, *other.scores))


@dataclass(frozen=True)
class Event:
    """Something that happened; `id` grows with every event of the database."""

    id: int
    study_id: str | None
    at: datetime
    type: str
    subject_id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class ArtifactRecord:
    """Bytes on disk that belong to a candidate: what kind, where, and their hash."""

    sha256: str
    kind: str
    size_bytes: int
    path: str
    created_at: datetime
