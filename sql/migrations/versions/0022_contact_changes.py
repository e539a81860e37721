"""Changes of where one-time passwords go, which wait for their confirmation, and the messages about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Id, Instant

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

STATES = ("waiting", "made", "refused", "superseded")
OLD = ("one_time_password", "welcome", "payment_failed", "grace_ended", "trial_ending")
NEW = ("contact_change", "contact_changed")


def _permit(kinds: tuple[str, ...]) -> None:
    """Permit these kinds of deliveries; SQLite writes the table anew for that."""
    with op.batch_alter_table("deliveries") as deliveries:
        name = op.f("ck_deliveries_kind")
        deliveries.drop_constraint(name, type_="check")
        deliveries.create_check_constraint(name, f"kind IN {kinds}")


def upgrade() -> None:
    """Make the table, and let messages be about its rows."""
    op.create_table(
        "contact_changes",
        sa.Column("id", Id, sa.Identity(), nullable=False),
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=True),
        sa.Column("requested_by", sa.String(255), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("decided_at", Instant(), nullable=True),
        sa.CheckConstraint(f"state IN {STATES}", name=op.f("ck_contact_changes_state")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_contact_changes_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_changes")),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "uq_contact_changes_waiting",
        "contact_changes",
        ["tenant_id"],
        unique=True,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_index("uq_contact_changes_token_hash", "contact_changes", ["token_hash"], unique=True)
    op.create_index("ix_contact_changes_tenant_id", "contact_changes", ["tenant_id"])
    op.create_index("ix_contact_changes_created_at", "contact_changes", ["created_at"])
    op.add_column("deliveries", sa.Column("contact_change_id", Id, nullable=True))
    _permit((*OLD, *NEW))


def downgrade() -> None:
    """Drop them; what waits is forgotten."""
    op.execute("DELETE FROM deliveries WHERE kind IN ('contact_change', 'contact_changed')")
    _permit(OLD)
    op.drop_column("deliveries", "contact_change_id")
    op.drop_table("contact_changes")
