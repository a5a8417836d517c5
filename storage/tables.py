"""The tables. The migrations build them; this module is what they must add up to."""

from __future__ import annotations

from typing import Any, get_args

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from .column_types import FiniteFloat, Json, UtcDateTime
from .records import CandidateKind, CandidateState, EvaluationState, Stage, StudyState, WorkerState

Id = String(26)
Sha256 = String(64)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _one_of(column: str, values: Any) -> CheckConstraint:
    listing = ", ".join(f"'{value}'" for value in get_args(values))
    return CheckConstraint(f"{column} IN ({listing})", name=column)


studies = Table(
    "studies",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("spec_json", Json, nullable=False),
    Column("spec_sha256", Sha256, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("plugin_versions_json", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("levels_json", Json, nullable=True),
    _one_of("state", StudyState),
)

# Who leads a study; the epoch grows with every change of leader and fences the one before.
study_leases = Table(
    "study_leases",
    metadata,
    Column("study_id", Id, ForeignKey(studies.c.id), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("id", Id, primary_key=True),
    Column("study_id", Id, ForeignKey(studies.c.id), nullable=False),
    Column("reference", Text, nullable=False),
    Column("fingerprint", Sha256, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("study_id", "reference"),
)

asks = Table(
    "asks",
    metadata,
    Column("study_id", Id, ForeignKey(studies.c.id), primary_key=True),
    Column("ask_no", Integer, primary_key=True, autoincrement=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("told_at", UtcDateTime),
    # Where results are told as they arrive, their order is a fact too; NULL where asks take turns.
    Column("tells_before", Integer),  # how many asks had been told when this one was made
    Column("tell_no", Integer),  # this ask's place in the order of tells, from 0
)

candidates = Table(
    "candidates",
    metadata,
    Column("id", Id, primary_key=True),
    Column("study_id", Id, ForeignKey(studies.c.id), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("number", Integer),
    Column("label", Text),
    Column("ask_no", Integer),
    Column("genome_json", Text),
    Column("recipe_json", Json, nullable=False),
    Column("fingerprint", Sha256, nullable=False),
    Column("state", String(16), nullable=False),
    Column("failure", Text),
    Column("created_at", UtcDateTime, nullable=False),
    _one_of("kind", CandidateKind),
    _one_of("state", CandidateState),
    CheckConstraint("(kind = 'bred') = (number IS NOT NULL)", name="number"),
    CheckConstraint("(kind = 'reference') = (label IS NOT NULL)", name="label"),
    ForeignKeyConstraint(["study_id", "ask_no"], [asks.c.study_id, asks.c.ask_no]),
    UniqueConstraint("study_id", "number"),
    UniqueConstraint("study_id", "label"),
)
# Bred candidates only: the search may well find the uniform average again, which is a reference too.
Index(
    None,
    candidates.c.study_id,
    candidates.c.fingerprint,
    unique=True,
    sqlite_where=candidates.c.kind == "bred",
    postgresql_where=candidates.c.kind == "bred",
)

proposals = Table(
    "proposals",
    metadata,
    Column("study_id", Id, primary_key=True),
    Column("ask_no", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("candidate_id", Id, ForeignKey(candidates.c.id), nullable=False, index=True),
    Column("operator", Text, nullable=False),
    Column("told_json", Json),  # what the optimizer learned, which later measurements do not change
    ForeignKeyConstraint(["study_id", "ask_no"], [asks.c.study_id, asks.c.ask_no]),
)

candidate_parents = Table(
    "candidate_parents",
    metadata,
    Column("child_id", Id, ForeignKey(candidates.c.id), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("parent_candidate_id", Id, ForeignKey(candidates.c.id), nullable=False, index=True),
    Column("operator", Text, nullable=False),
    CheckConstraint("child_id <> parent_candidate_id", name="not_its_own_parent"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("candidate_id", Id, ForeignKey(candidates.c.id), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("items_json", Json),  # by task, the items that this part asks; NULL: all of the stage's
    Column("eval_key", Sha256, nullable=False, index=True),
    Column("queue", Text, nullable=False),  # what a worker must have: the memory class (`workers/memory.py`)
    Column("priority", Integer, nullable=False),
    Column("company", Id),  # the first of those computed together with it, by one worker; NULL: it is alone
    Column("need_bytes", BigInteger),  # device memory that it takes, as foreseen
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("lease_owner", Text),
    Column("lease_expires_at", UtcDateTime),
    Column("not_before", UtcDateTime),
    Column("published_at", UtcDateTime),
    Column("publish_count", Integer, nullable=False, server_default="0"),
    Column("progress", FiniteFloat),  # the share that is done, in [0, 1], as last told
    Column("cancel_requested_at", UtcDateTime),
    Column("error_kind", String(64)),
    Column("error_text", Text),
    Column("worker", Text),
    Column("environment_id", Sha256, ForeignKey("environments.id")),
    Column("seconds_json", Json),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    _one_of("stage", Stage),
    _one_of("state", EvaluationState),
    UniqueConstraint("candidate_id", "stage", "part"),
)
Index(
    "ix_evaluations_waiting",
    evaluations.c.queue,
    evaluations.c.priority.desc(),
    evaluations.c.id,
    sqlite_where=evaluations.c.state == "queued",
    postgresql_where=evaluations.c.state == "queued",
)
Index(
    "ix_evaluations_leased",
    evaluations.c.lease_expires_at,
    sqlite_where=evaluations.c.state == "running",
    postgresql_where=evaluations.c.state == "running",
)
Index("ix_evaluations_finished_at", evaluations.c.finished_at)
Index("ix_evaluations_company", evaluations.c.company)
Index(
    "ix_evaluations_failed",
    evaluations.c.finished_at,
    sqlite_where=evaluations.c.state == "failed",
    postgresql_where=evaluations.c.state == "failed",
)

attempts = Table(
    "attempts",
    metadata,
    Column("evaluation_id", Id, ForeignKey(evaluations.c.id), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("worker", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", String(16)),
    Column("exit_signal", Integer),  # that ended the process which evaluated
    Column("peak_bytes", BigInteger),  # device memory that it took
    Column("log_tail", Text),  # the last that it wrote, where it did not succeed
)

item_sets = Table(
    "item_sets",
    metadata,
    Column("id", Sha256, primary_key=True),
    Column("item_ids_json", Json, nullable=False),
    Column("n_items", Integer, nullable=False),
)

# Packed: a row per item would be 10^8 rows for a large study. The label of the task is here and not with the items,
# because two studies may give the same items different names.
item_responses = Table(
    "item_responses",
    metadata,
    Column("evaluation_id", Id, ForeignKey(evaluations.c.id), primary_key=True),
    Column("task", Text, primary_key=True),
    Column("first_item", Integer, primary_key=True, autoincrement=False),
    Column("item_set_id", Sha256, ForeignKey(item_sets.c.id), nullable=False, index=True),
    Column("n", Integer, nullable=False),
    Column("scores", LargeBinary, nullable=False),
)

measurements = Table(
    "measurements",
    metadata,
    Column("candidate_id", Id, ForeignKey(candidates.c.id), primary_key=True),
    Column("stage", String(16), primary_key=True),
    Column("objective", Text, primary_key=True),
    Column("value", FiniteFloat, nullable=False),
    Column("standard_error", FiniteFloat),
    Column("items", Integer, nullable=False),
    _one_of("stage", Stage),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("sha256", Sha256, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

artifact_links = Table(
    "artifact_links",
    metadata,
    Column("owner_kind", String(16), primary_key=True),
    Column("owner_id", Id, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("sha256", Sha256, ForeignKey(artifacts.c.sha256), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("queues_json", Json, nullable=False),
    Column("device_json", Json, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),  # why it takes no more work, or went
    Column("kind", String(16), nullable=False, server_default="local"),  # the executor that it works for
    Column("evaluation_id", Id),  # what it evaluates now
    Column("claimed_at", UtcDateTime),  # when it last took work
    Column("done", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("environment_id", Sha256, ForeignKey("environments.id")),
    Column("started_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    _one_of("state", WorkerState),
    Index(None, "state", "last_seen_at"),
)

# What computed a result: code, plugins, libraries, device. Few rows, named by many results.
environments = Table(
    "environments",
    metadata,
    Column("id", Sha256, primary_key=True),
    Column("content_json", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# What the same model says on each worker, so that one whose numbers drift is seen.
canaries = Table(
    "canaries",
    metadata,
    Column("study_id", Id, ForeignKey(studies.c.id), primary_key=True),
    Column("worker_id", Id, ForeignKey(workers.c.id), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("values_json", Json, nullable=False),
    Column("verdict", String(16), nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("study_id", Id, ForeignKey(studies.c.id)),
    Column("at", UtcDateTime, nullable=False),
    Column("type", String(64), nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("payload_json", Json, nullable=False),
    Index(None, "study_id", "id"),
    Index("ix_events_type", "study_id", "type", "id"),
    sqlite_autoincrement=True,
)
