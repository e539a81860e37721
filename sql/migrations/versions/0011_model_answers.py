"""Answers of models that are kept, so that the same question is not paid for again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant, only_where

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "model_answers",
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tenant_id", ID, nullable=True),
        sa.Column("project_id", sa.String(length=100), nullable=True),
        sa.Column("holder", sa.String(length=32), nullable=True),
        sa.Column("held_until", Instant(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("answered_at", Instant(), nullable=True),
        sa.Column("score", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("judge_provider", sa.String(length=32), nullable=True),
        sa.Column("judge_model", sa.String(length=100), nullable=True),
        sa.CheckConstraint("(text IS NULL) = (answered_at IS NULL)", name=op.f("ck_model_answers_answered")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_model_answers_tenant_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_model_answers_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_model_answers")),
    )
    for column in ("tenant_id", "project_id", "answered_at"):
        op.create_index(f"ix_model_answers_{column}", "model_answers", [column], unique=False)
    op.create_index(
        "ix_model_answers_unanswered", "model_answers", ["held_until"], unique=False, **only_where("text IS NULL")
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("model_answers")
