"""Seats: when a refresh token was replaced, so that whoever lost the answer is given its successor again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("refresh_families", sa.Column("rotated_at", Instant(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("refresh_families", "rotated_at")
