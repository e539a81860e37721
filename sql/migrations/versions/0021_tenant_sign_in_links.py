"""Sign-in links of tenants: what an operator makes for one that cannot sign in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Id, Instant

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "tenant_sign_in_links",
        sa.Column("tenant_id", Id, autoincrement=False, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_tenant_sign_in_links_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_tenant_sign_in_links"),
    )
    op.create_index("uq_tenant_sign_in_links_token_hash", "tenant_sign_in_links", ["token_hash"], unique=True)


def downgrade() -> None:
    """Drop it, and the links that nobody has used."""
    op.drop_index("uq_tenant_sign_in_links_token_hash", table_name="tenant_sign_in_links")
    op.drop_table("tenant_sign_in_links")
