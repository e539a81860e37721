"""The accounts of the running month and day as a list, of all tenants and of one."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = "ledger_accounts"


def upgrade() -> None:
    """Create the indexes of the list; that of a tenant's accounts begins as the one that it replaces."""
    op.create_index("ix_ledger_accounts_starts_on_id", TABLE, ["starts_on", "id"], unique=False)
    op.create_index("ix_ledger_accounts_tenant_id_starts_on_id", TABLE, ["tenant_id", "starts_on", "id"], unique=False)
    op.drop_index("ix_ledger_accounts_tenant_id", table_name=TABLE)


def downgrade() -> None:
    """Put the former index back."""
    op.create_index("ix_ledger_accounts_tenant_id", TABLE, ["tenant_id"], unique=False)
    op.drop_index("ix_ledger_accounts_tenant_id_starts_on_id", table_name=TABLE)
    op.drop_index("ix_ledger_accounts_starts_on_id", table_name=TABLE)
