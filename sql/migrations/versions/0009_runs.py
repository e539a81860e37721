"""Runs of projects: tasks, events and files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant, only_where

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables and the column."""
    op.create_table(
        "run_folders",
        sa.Column("run_id", ID, autoincrement=False, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_folders")),
    )
    op.create_table(
        "runs",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("project_number", ID, nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "running",
                "completed",
                "failed",
                "cancelled",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("brief", sa.Text(), nullable=False),
        sa.Column("started_by", sa.String(length=255), nullable=False),
        sa.Column("reservation_id", ID, nullable=False),
        sa.Column("counted_at", Instant(), nullable=True),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("moved_at", Instant(), nullable=False),
        sa.Column("events", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_tasks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("completed_tasks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed_tasks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancelled_tasks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("(state = 'running') = (ended_at IS NULL)", name=op.f("ck_runs_ended_at")),
        sa.ForeignKeyConstraint(
            ["project_number"], ["projects.id"], name=op.f("fk_runs_project_number"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_runs_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_project_number_id", "runs", ["project_number", "id"], unique=False)
    op.create_index("ix_runs_running", "runs", ["started_at", "id"], unique=False, **only_where("state = 'running'"))
    op.create_index("ix_runs_state_id", "runs", ["state", "id"], unique=False)
    op.create_index("ix_runs_tenant_id_id", "runs", ["tenant_id", "id"], unique=False)
    op.create_index(
        "uq_runs_project_number_running", "runs", ["project_number"], unique=True, **only_where("state = 'running'")
    )
    op.create_table(
        "agent_tasks",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column(
            "agent_type",
            sa.Enum(
                "orchestrator",
                "researcher",
                "coder",
                "integration",
                "frontend",
                "workflow",
                "testing",
                "qa",
                "security",
                "infrastructure",
                "node",
                "mobile",
                name="agent_type",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.Column("qa_round", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "running",
                "completed",
                "failed",
                "cancelled",
                name="status",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("ready_at", Instant(), nullable=True),
        sa.Column("holder", sa.String(length=100), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("started_at", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("outputs", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_agent_tasks_run_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_agent_tasks_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_tasks")),
        sa.UniqueConstraint("run_id", "key", name="uq_agent_tasks_run_id_key"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_agent_tasks_open", "agent_tasks", ["run_id"], unique=False, **only_where("status IN ('pending', 'running')")
    )
    op.create_index(
        "ix_agent_tasks_tenant_id_created_at_id", "agent_tasks", ["tenant_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "run_events",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "run_started",
                "task_created",
                "task_started",
                "task_completed",
                "task_failed",
                "task_cancelled",
                "task_retried",
                "run_completed",
                "run_failed",
                "run_cancelled",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("task_id", ID, nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_events_run_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_run_events_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_run_events")),
    )
    op.create_index("ix_run_events_tenant_id_xid", "run_events", ["tenant_id", "xid", "run_id", "number"], unique=False)
    op.create_index("ix_run_events_xid_run_id_number", "run_events", ["xid", "run_id", "number"], unique=False)
    op.create_table(
        "run_files",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("task_id", ID, nullable=False),
        sa.Column("written_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_files_run_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_run_files_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "path", name=op.f("pk_run_files")),
    )
    op.create_index("ix_run_files_tenant_id", "run_files", ["tenant_id"], unique=False)
    op.add_column("projects", sa.Column("run_id", ID, nullable=True))


def downgrade() -> None:
    """Drop them."""
    # In place: a copy of the table would lose its triggers.
    op.drop_column("projects", "run_id")
    for table in ("run_folders", "run_files", "run_events", "agent_tasks", "runs"):
        op.drop_table(table)
