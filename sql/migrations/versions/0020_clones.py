"""One seat, one machine: families that an activation has ended, clones, and how often a device is activated anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; families that live beside each other end when their device is activated again."""
    op.add_column("refresh_families", sa.Column("superseded_at", Instant(), nullable=True))
    op.add_column("refresh_families", sa.Column("came_back_at", Instant(), nullable=True))
    op.add_column("devices", sa.Column("clone_count", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("devices", sa.Column("moved_on", sa.Date(), nullable=True))
    op.add_column("devices", sa.Column("moves", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("plans", sa.Column("device_moves_per_day", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Drop them; a family that a later one would end within its grace lives on."""
    op.drop_column("plans", "device_moves_per_day")
    op.drop_column("devices", "moves")
    op.drop_column("devices", "moved_on")
    op.drop_column("devices", "clone_count")
    op.drop_column("refresh_families", "came_back_at")
    op.drop_column("refresh_families", "superseded_at")
