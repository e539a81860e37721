"""One customer, other figures: what a subscription grants instead of its plan's figures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

INDEX = "ix_subscriptions_run_quota_overrides"
WHERE = sa.text("state = 'active' AND ended_at IS NULL AND monthly_run_quota_override IS NOT NULL")


def upgrade() -> None:
    """Add the columns; null is the plan's figure."""
    op.add_column("subscriptions", sa.Column("max_devices_override", sa.Integer(), nullable=True))
    op.add_column("subscriptions", sa.Column("monthly_run_quota_override", sa.Integer(), nullable=True))
    op.create_index(INDEX, "subscriptions", ["plan_id"], postgresql_where=WHERE, sqlite_where=WHERE)


def downgrade() -> None:
    """Drop them: what they granted is the plan's figure again."""
    op.drop_index(INDEX, "subscriptions")
    op.drop_column("subscriptions", "monthly_run_quota_override")
    op.drop_column("subscriptions", "max_devices_override")
