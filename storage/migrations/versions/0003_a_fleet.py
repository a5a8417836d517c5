"""A fleet: what workers need to share work, and to be watched; the order in which results were told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATES = "state IN ('up', 'draining', 'drifted', 'gone')"
_STATES_BEFORE = "state IN ('up', 'draining', 'gone')"


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "environments",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("content_json", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_environments"),
    )
    op.add_column("asks", sa.Column("tells_before", sa.Integer(), nullable=True))
    op.add_column("asks", sa.Column("tell_no", sa.Integer(), nullable=True))
    _drop_partial_indexes()
    with op.batch_alter_table("evaluations") as table:
        table.add_column(sa.Column("company", sa.String(26), nullable=True))
        table.add_column(sa.Column("need_bytes", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("publish_count", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("progress", sa.Float(53), nullable=True))
        table.add_column(sa.Column("environment_id", sa.String(64), nullable=True))
        table.create_foreign_key(
            "fk_evaluations_environment_id_environments", "environments", ["environment_id"], ["id"]
        )
    _create_partial_indexes()
    op.create_index("ix_evaluations_finished_at", "evaluations", ["finished_at"])
    op.create_index("ix_evaluations_company", "evaluations", ["company"])
    op.create_index(
        "ix_evaluations_failed",
        "evaluations",
        ["finished_at"],
        unique=False,
        sqlite_where=sa.text("state = 'failed'"),
        postgresql_where=sa.text("state = 'failed'"),
    )
    op.add_column("attempts", sa.Column("exit_signal", sa.Integer(), nullable=True))
    op.add_column("attempts", sa.Column("peak_bytes", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("log_tail", sa.Text(), nullable=True))
    with op.batch_alter_table("workers") as table:
        table.add_column(sa.Column("reason", sa.Text(), nullable=True))
        table.add_column(sa.Column("kind", sa.String(16), server_default="local", nullable=False))
        table.add_column(sa.Column("evaluation_id", sa.String(26), nullable=True))
        table.add_column(sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("done", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("failed", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("environment_id", sa.String(64), nullable=True))
        table.create_foreign_key("fk_workers_environment_id_environments", "environments", ["environment_id"], ["id"])
        table.drop_constraint(op.f("ck_workers_state"), type_="check")
        table.create_check_constraint(op.f("ck_workers_state"), _STATES)
    op.create_index("ix_workers_state_last_seen_at", "workers", ["state", "last_seen_at"])
    op.create_table(
        "canaries",
        sa.Column("study_id", sa.String(26), nullable=False),
        sa.Column("worker_id", sa.String(26), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("values_json", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_canaries_study_id_studies"),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name="fk_canaries_worker_id_workers"),
        sa.PrimaryKeyConstraint("study_id", "worker_id", "number", name="pk_canaries"),
    )
    op.create_index("ix_events_type", "events", ["study_id", "type", "id"])


def downgrade() -> None:
    """Back to the one before; what was noted of workers beyond it is lost."""
    op.drop_index("ix_events_type", "events")
    op.drop_table("canaries")
    op.drop_index("ix_workers_state_last_seen_at", "workers")
    op.execute("UPDATE workers SET state = 'gone' WHERE state = 'drifted'")
    with op.batch_alter_table("workers") as table:
        table.drop_constraint("fk_workers_environment_id_environments", type_="foreignkey")
        table.drop_constraint(op.f("ck_workers_state"), type_="check")
        table.create_check_constraint(op.f("ck_workers_state"), _STATES_BEFORE)
        for column in ("environment_id", "failed", "done", "claimed_at", "evaluation_id", "kind", "reason"):
            table.drop_column(column)
    with op.batch_alter_table("attempts") as table:
        for column in ("log_tail", "peak_bytes", "exit_signal"):
            table.drop_column(column)
    op.drop_index("ix_evaluations_failed", "evaluations")
    op.drop_index("ix_evaluations_company", "evaluations")
    op.drop_index("ix_evaluations_finished_at", "evaluations")
    _drop_partial_indexes()
    with op.batch_alter_table("evaluations") as table:
        table.drop_constraint("fk_evaluations_environment_id_environments", type_="foreignkey")
        for column in ("environment_id", "progress", "publish_count", "need_bytes", "company"):
            table.drop_column(column)
    _create_partial_indexes()
    with op.batch_alter_table("asks") as table:
        table.drop_column("tell_no")
        table.drop_column("tells_before")
    op.drop_table("environments")


def _drop_partial_indexes() -> None:
    """SQLite copies a table to change its constraints, and such a copy does not keep what these are limited to."""
    op.drop_index("ix_evaluations_waiting", "evaluations")
    op.drop_index("ix_evaluations_leased", "evaluations")


def _create_partial_indexes() -> None:
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
