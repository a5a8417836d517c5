"""Evaluations in parts: a candidate may be asked step by step; what an optimizer was told is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

def upgrade() -> None:
    """To this revision."""
    _drop_partial_indexes()
    with op.batch_alter_table("evaluations") as table:
        table.add_column(sa.Column("part", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("items_json", sa.Text(), nullable=True))
        table.drop_constraint("uq_evaluations_candidate_id_stage", type_="unique")
        table.create_unique_constraint("uq_evaluations_candidate_id_stage_part", ["candidate_id", "stage", "part"])
    _create_partial_indexes()
    op.add_column("proposals", sa.Column("told_json", sa.Text(), nullable=True))


def downgrade() -> None:
    """Back to the one before; of a candidate that was asked in parts, the first stays."""
    with op.batch_alter_table("proposals") as table:
        table.drop_column("told_json")
    later = "SELECT id FROM evaluations WHERE part > 0"
    op.execute(f"DELETE FROM item_responses WHERE evaluation_id IN ({later})")
    op.execute(f"DELETE FROM attempts WHERE evaluation_id IN ({later})")
    op.execute("DELETE FROM evaluations WHERE part > 0")
    _drop_partial_indexes()
    with op.batch_alter_table("evaluations") as table:
        table.drop_constraint("uq_evaluations_candidate_id_stage_part", type_="unique")
        table.create_unique_constraint("uq_evaluations_candidate_id_stage", ["candidate_id", "stage"])
        table.drop_column("items_json")
        table.drop_column("part")
    _create_partial_indexes()


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
