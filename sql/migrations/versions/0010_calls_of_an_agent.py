"""The usage log of models is filtered by an agent and a provider together in an index of its own."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NAME = "ix_llm_calls_agent_type_provider_created_at_id"


def upgrade() -> None:
    """Create the index."""
    columns = ["agent_type", "provider", "created_at", "id", "success", "cached"]
    op.create_index(NAME, "llm_calls", columns, unique=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_index(NAME, table_name="llm_calls")
