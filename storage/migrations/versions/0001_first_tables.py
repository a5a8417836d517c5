"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_artifacts"),
    )
    op.create_table(
        "item_sets",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("item_ids_json", sa.Text(), nullable=False),
        sa.Column("n_items", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_item_sets"),
    )
    op.create_table(
        "studies",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec_json", sa.Text(), nullable=False),
        sa.Column("spec_sha256", sa.String(length=64), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("plugin_versions_json", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('created', 'running', 'paused', 'complete', 'failed')", name=op.f("ck_studies_state")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.UniqueConstraint("name", name="uq_studies_name"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("queues_json", sa.Text(), nullable=False),
        sa.Column("device_json", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('up', 'draining', 'gone')", name=op.f("ck_workers_state")),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_table(
        "artifact_links",
        sa.Column("owner_kind", sa.String(length=16), nullable=False),
        sa.Column("owner_id", sa.String(length=26), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name="fk_artifact_links_sha256_artifacts"),
        sa.PrimaryKeyConstraint("owner_kind", "owner_id", "path", name="pk_artifact_links"),
    )
    op.create_index("ix_artifact_links_sha256", "artifact_links", ["sha256"], unique=False)
    op.create_table(
        "asks",
        sa.Column("study_id", sa.String(length=26), nullable=False),
        sa.Column("ask_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_asks_study_id_studies"),
        sa.PrimaryKeyConstraint("study_id", "ask_no", name="pk_asks"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_id", sa.String(length=26), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("payload_json", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_events_study_id_studies"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_study_id_id", "events", ["study_id", "id"], unique=False)
    op.create_table(
        "models",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("study_id", sa.String(length=26), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_models_study_id_studies"),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("study_id", "reference", name="uq_models_study_id_reference"),
    )
    op.create_table(
        "study_leases",
        sa.Column("study_id", sa.String(length=26), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_study_leases_study_id_studies"),
        sa.PrimaryKeyConstraint("study_id", name="pk_study_leases"),
    )
    op.create_table(
        "candidates",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("study_id", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("ask_no", sa.Integer(), nullable=True),
        sa.Column("genome_json", sa.Text(), nullable=True),
        sa.Column("recipe_json", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(kind = 'bred') = (number IS NOT NULL)", name=op.f("ck_candidates_number")),
        sa.CheckConstraint("(kind = 'reference') = (label IS NOT NULL)", name=op.f("ck_candidates_label")),
        sa.CheckConstraint("kind IN ('bred', 'reference')", name=op.f("ck_candidates_kind")),
        sa.CheckConstraint(
            "state IN ('proposed', 'evaluating', 'complete', 'failed')", name=op.f("ck_candidates_state")
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "ask_no"], ["asks.study_id", "asks.ask_no"], name="fk_candidates_study_id_ask_no_asks"
        ),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_candidates_study_id_studies"),
        sa.PrimaryKeyConstraint("id", name="pk_candidates"),
        sa.UniqueConstraint("study_id", "label", name="uq_candidates_study_id_label"),
        sa.UniqueConstraint("study_id", "number", name="uq_candidates_study_id_number"),
    )
    op.create_index(
        "ix_candidates_study_id_fingerprint",
        "candidates",
        ["study_id", "fingerprint"],
        unique=True,
        sqlite_where=sa.text("kind = 'bred'"),
        postgresql_where=sa.text("kind = 'bred'"),
    )
    op.create_table(
        "candidate_parents",
        sa.Column("child_id", sa.String(length=26), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parent_candidate_id", sa.String(length=26), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.CheckConstraint("child_id <> parent_candidate_id", name=op.f("ck_candidate_parents_not_its_own_parent")),
        sa.ForeignKeyConstraint(["child_id"], ["candidates.id"], name="fk_candidate_parents_child_id_candidates"),
        sa.ForeignKeyConstraint(
            ["parent_candidate_id"], ["candidates.id"], name="fk_candidate_parents_parent_candidate_id_candidates"
        ),
        sa.PrimaryKeyConstraint("child_id", "ordinal", name="pk_candidate_parents"),
    )
    op.create_index(
        "ix_candidate_parents_parent_candidate_id", "candidate_parents", ["parent_candidate_id"], unique=False
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("candidate_id", sa.String(length=26), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("eval_key", sa.String(length=64), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_kind", sa.String(length=64), nullable=True),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("seconds_json", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("stage IN ('search', 'validation', 'test')", name=op.f("ck_evaluations_stage")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_evaluations_state")
        ),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_evaluations_candidate_id_candidates"),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
        sa.UniqueConstraint("candidate_id", "stage", name="uq_evaluations_candidate_id_stage"),
    )
    op.create_index("ix_evaluations_eval_key", "evaluations", ["eval_key"], unique=False)
    op.create_index(
        "ix_evaluations_leased",
        "evaluations",
        ["lease_expires_at"],
        unique=False,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_evaluations_waiting",
        "evaluations",
        ["queue", sa.literal_column("priority DESC"), "id"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_table(
        "measurements",
        sa.Column("candidate_id", sa.String(length=26), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("objective", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.Column("standard_error", sa.Float(precision=53), nullable=True),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.CheckConstraint("stage IN ('search', 'validation', 'test')", name=op.f("ck_measurements_stage")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_measurements_candidate_id_candidates"),
        sa.PrimaryKeyConstraint("candidate_id", "stage", "objective", name="pk_measurements"),
    )
    op.create_table(
        "proposals",
        sa.Column("study_id", sa.String(length=26), nullable=False),
        sa.Column("ask_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("candidate_id", sa.String(length=26), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_proposals_candidate_id_candidates"),
        sa.ForeignKeyConstraint(
            ["study_id", "ask_no"], ["asks.study_id", "asks.ask_no"], name="fk_proposals_study_id_ask_no_asks"
        ),
        sa.PrimaryKeyConstraint("study_id", "ask_no", "position", name="pk_proposals"),
    )
    op.create_index("ix_proposals_candidate_id", "proposals", ["candidate_id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("evaluation_id", sa.String(length=26), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluations.id"], name="fk_attempts_evaluation_id_evaluations"),
        sa.PrimaryKeyConstraint("evaluation_id", "attempt", name="pk_attempts"),
    )
    op.create_table(
        "item_responses",
        sa.Column("evaluation_id", sa.String(length=26), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("first_item", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("item_set_id", sa.String(length=64), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("scores", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluations.id"], name="fk_item_responses_evaluation_id_evaluations"
        ),
        sa.ForeignKeyConstraint(["item_set_id"], ["item_sets.id"], name="fk_item_responses_item_set_id_item_sets"),
        sa.PrimaryKeyConstraint("evaluation_id", "task", "first_item", name="pk_item_responses"),
    )
    op.create_index("ix_item_responses_item_set_id", "item_responses", ["item_set_id"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("item_responses")
    op.drop_table("attempts")
    op.drop_table("proposals")
    op.drop_table("measurements")
    op.drop_table("evaluations")
    op.drop_table("candidate_parents")
    op.drop_table("candidates")
    op.drop_table("study_leases")
    op.drop_table("models")
    op.drop_table("events")
    op.drop_table("asks")
    op.drop_table("artifact_links")
    op.drop_table("workers")
    op.drop_table("studies")
    op.drop_table("item_sets")
    op.drop_table("artifacts")
