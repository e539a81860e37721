"""Runs of projects: their tasks, the events that watchers follow, and the files that they leave."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from sql.tables.columns import Id, Instant, choice, id_column, metadata, only_where
from sql.tables.llm import AGENT_TYPES

RUN_STATES = ("running", "completed", "failed", "cancelled")
TASK_STATUSES = ("pending", "running", "completed", "failed", "cancelled")
RUN_EVENT_KINDS = (
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
)
MAX_TASK_KEY = 100
MAX_PATH = 1024

runs = Table(
    "runs",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    # The id of the project's row, because another project may get its project_id once it is deleted.
    Column("project_number", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    choice("state", *RUN_STATES),
    # The project's texts as they were at the start, as a JSON object: what is changed later is for the next run.
    Column("brief", Text, nullable=False),
    Column("started_by", String(255), nullable=False),
    # The run that is reserved of the tenant's quota until the first task starts.
    Column("reservation_id", Id, nullable=False),
    # When the first task started; from then on the run counts.
    Column("counted_at", Instant),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    # Why it ended as it did, in words for the tenant.
    Column("error", Text),
    # When one of its tasks last changed its status.
    Column("moved_at", Instant, nullable=False),
    # How many events it has; the newest one has this number. Whoever adds one holds this row's lock.
    Column("events", Integer, nullable=False, server_default=text("0")),
    # Its tasks by status; the others are open.
    Column("total_tasks", Integer, nullable=False, server_default=text("0")),
    Column("completed_tasks", Integer, nullable=False, server_default=text("0")),
    Column("failed_tasks", Integer, nullable=False, server_default=text("0")),
    Column("cancelled_tasks", Integer, nullable=False, server_default=text("0")),
    # A run of a project that has ended is never begun again: the next start makes a new one.
    Index("uq_runs_project_number_running", "project_number", unique=True, **only_where("state = 'running'")),
    Index("ix_runs_project_number_id", "project_number", "id"),
    Index("ix_runs_tenant_id_id", "tenant_id", "id"),
    Index("ix_runs_running", "started_at", "id", **only_where("state = 'running'")),
    Index("ix_runs_state_id", "state", "id"),
    CheckConstraint("(state = 'running') = (ended_at IS NULL)", name="ended_at"),
    # Objects of files are named by the run's id, so SQLite must give no id a second time.
    sqlite_autoincrement=True,
)

agent_tasks = Table(
    "agent_tasks",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    # Names the task within its run, for those that wait for it.
    Column("key", String(MAX_TASK_KEY), nullable=False),
    choice("agent_type", *AGENT_TYPES),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False),
    # 1 is the highest.
    Column("priority", Integer, nullable=False),
    # A JSON array of the keys of the tasks that must be completed before it.
    Column("needs", Text, nullable=False),
    # How many times quality control has sent work back before it; 0 for what was planned at first.
    Column("qa_round", Integer, nullable=False, server_default=text("0")),
    choice("status", *TASK_STATUSES),
    # When all that it waits for was completed; null until then.
    Column("ready_at", Instant),
    # The process that works on it, and for the how manieth time it was begun: a holder that was only thought dead
    # commits nothing under an old number.
    Column("holder", String(100)),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("error", Text),
    # What the agent says of its work, as a JSON object.
    Column("outputs", Text),
    UniqueConstraint("run_id", "key", name="uq_agent_tasks_run_id_key"),
    Index("ix_agent_tasks_tenant_id_created_at_id", "tenant_id", "created_at", "id"),
    Index("ix_agent_tasks_open", "run_id", **only_where("status IN ('pending', 'running')")),
    sqlite_autoincrement=True,
)

# What a watcher is told: one row for each change of a run's or a task's status, never changed.
run_events = Table(
    "run_events",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    # From 1 on without a gap; assigned under the lock of the run's row, so no number appears before a smaller one.
    Column("number", Integer, nullable=False),
    # The transaction that wrote it, by which the events of many runs are read in one order. No event has a smaller one
    # than those of its run before it: a transaction may get its id, and the run's lock only after a later one.
    Column("xid", BigInteger, nullable=False),
    choice("kind", *RUN_EVENT_KINDS),
    Column("message", Text, nullable=False),
    Column("task_id", Id),
    # The run and the task as they were at that moment, as a JSON object.
    Column("data", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("run_id", "number"),
    Index("ix_run_events_xid_run_id_number", "xid", "run_id", "number"),
    Index("ix_run_events_tenant_id_xid", "tenant_id", "xid", "run_id", "number"),
)

# The manifest: which object is at which path. Written in the transaction of the task that made the file.
run_files = Table(
    "run_files",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("path", String(MAX_PATH), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("task_id", Id, nullable=False),
    Column("written_at", Instant, nullable=False),
    PrimaryKeyConstraint("run_id", "path"),
    Index("ix_run_files_tenant_id", "tenant_id"),
)

# The objects of a run's files, as a whole. The row outlives the run's, so that its objects are found and removed.
run_folders = Table(
    "run_folders",
    metadata,
    Column("run_id", Id, primary_key=True, autoincrement=False),
    Column("created_at", Instant, nullable=False),
)
