"""Levels: what they cost, and the candidates that a search of bit-widths starts from, recorded with the study."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.add_column("studies", sa.Column("levels_json", sa.Text(), nullable=True))


def downgrade() -> None:
    """Back to the one before; a search of bit-widths that had starts cannot be resumed there."""
    op.drop_column("studies", "levels_json")
