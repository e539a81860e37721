"""Calls for errands, from processes without a durable engine to those that have one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "errand_calls",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("errand", sa.String(length=50), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
        sa.Column("called_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_errand_calls")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("errand_calls")
