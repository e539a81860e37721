"""Projects with their settings, deletions of tenants that go on in pieces, and the figures of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from sql.tables.columns import Instant, only_where

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
QUARTER_SECONDS = 900
NEVER = 2**31 - 1


class Metric(NamedTuple):
    """A copy from sql/tables/statistics.py as it was when this migration was written."""

    name: str
    moment: str
    condition: str = "1 = 1"
    dimension: str = "''"
    amount: str = "1"


METRICS_BY_TABLE = {
    "tenants": (Metric("tenants_created", "created_at", "{row}.deleted_at IS NULL"),),
    "projects": (
        Metric("projects_created", "created_at"),
        Metric("projects_active", "created_at", "{row}.is_active"),
        Metric("projects_with_code", "created_at", "{row}.activation_code_id IS NOT NULL"),
    ),
    "learned_templates": (
        Metric("templates_created", "created_at"),
        Metric("templates_uses", "", amount="{row}.usage_count"),
        Metric("templates_saved", "", amount="{row}.cost_saved"),
    ),
}
UPDATES = {
    "tenants": ("deleted_at",),
    "projects": ("is_active", "activation_code_id"),
    "learned_templates": ("usage_count", "cost_saved"),
}
# Not every server offers the extension; nothing depends on it.
TRIGRAMS = ("project_id", "name", "client_name", "description", "custom_instructions")
# As migration 0004 made them.
OLD_METRICS = {"tenants": (Metric("tenants_created", "created_at"),)}
OLD_CHANGES = ("INSERT", "DELETE")
INSERT = "INSERT INTO statistics_changes (metric, dimension, bucket, change)"


def _moves(metrics: tuple[Metric, ...], quarter: str, signs: dict[str, int], source: str = "") -> str:
    """A query for the changes of these metrics by the rows ``signs`` names, each with its sign."""
    return "\n    UNION ALL ".join(
        f"SELECT '{metric.name}' AS metric, {metric.dimension.format(row=row)} AS dimension,"
        f" {_bucket(metric, row, quarter)} AS bucket, {_change(metric, row, sign)} AS change{source.format(row=row)}"
        f" WHERE {metric.condition.format(row=row)}"
        for row, sign in signs.items()
        for metric in metrics
    )


def _change(metric: Metric, row: str, sign: int) -> str:
    return f"{sign}" if metric.amount == "1" else f"{sign} * {metric.amount.format(row=row)}"


def _bucket(metric: Metric, row: str, quarter: str) -> str:
    if not metric.moment:
        return "0"
    bucket = quarter.format(f"{row}.{metric.moment}")
    return f"coalesce({bucket}, {NEVER})" if metric.moment == "expires_at" else bucket


# The new version of a row adds to a figure, the old version subtracts from it.
ROWS = {"INSERT": {"new": 1}, "DELETE": {"old": -1}, "UPDATE": {"new": 1, "old": -1}}
TRANSITIONS = {"new": "added", "old": "removed"}


CHANGES = ("INSERT", "DELETE", "UPDATE")


def _sqlite_triggers(table: str, metrics: tuple[Metric, ...], changes: tuple[str, ...]) -> Iterator[str]:
    """The triggers of a table for SQLite: one per kind of change, run for each row."""
    # Without the fraction of a second, which SQLite would round: the first 19 characters end with the second.
    quarter = f"CAST(strftime('%s', substr({{}}, 1, 19)) AS INTEGER) / {QUARTER_SECONDS}"
    for change in changes:
        columns = f" OF {', '.join(UPDATES[table])}" if change == "UPDATE" and table in UPDATES else ""
        yield (
            f"CREATE TRIGGER {table}_statistics_{change.lower()} AFTER {change}{columns} ON {table}\nBEGIN\n"  # noqa: S608 - names of ours
            f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
            f"    {_moves(metrics, quarter, ROWS[change])}\n    )"
            " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\nEND"
        )


def _postgresql_triggers(table: str, metrics: tuple[Metric, ...], changes: tuple[str, ...]) -> Iterator[str]:
    """The triggers of a table for PostgreSQL: run per statement, for updates per row."""
    quarter = f"CAST(floor(extract(epoch FROM {{}}) / {QUARTER_SECONDS}) AS INTEGER)"
    for change in changes:
        name = f"{table}_statistics_{change.lower()}"
        by_row = change == "UPDATE" and table in UPDATES
        rows = ROWS[change] if by_row else {TRANSITIONS[row]: sign for row, sign in ROWS[change].items()}
        source = "" if by_row else " FROM {row}"
        yield (
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"  # noqa: S608 - names of ours
            f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
            f"    {_moves(metrics, quarter, rows, source)}\n    ) AS moves"
            " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\n    RETURN NULL;\nEND $$"
        )
        if by_row:
            old, new = (", ".join(f"{row}.{column}" for column in UPDATES[table]) for row in ("old", "new"))
            yield (
                f"CREATE TRIGGER {name} AFTER UPDATE OF {', '.join(UPDATES[table])} ON {table} FOR EACH ROW\n"
                f"WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION {name}()"
            )
        else:
            transitions = " ".join(f"{row.upper()} TABLE AS {TRANSITIONS[row]}" for row in ROWS[change])
            yield (
                f"CREATE TRIGGER {name} AFTER {change} ON {table}\n"
                f"REFERENCING {transitions} FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
            )


def _create_triggers(table: str, metrics: tuple[Metric, ...], changes: tuple[str, ...]) -> None:
    triggers = _sqlite_triggers if op.get_bind().dialect.name == "sqlite" else _postgresql_triggers
    for definition in triggers(table, metrics, changes):
        op.get_bind().exec_driver_sql(definition)


def _drop_triggers(table: str, changes: tuple[str, ...]) -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for change in changes:
        name = f"{table}_statistics_{change.lower()}"
        op.execute(f"DROP TRIGGER {name}" if is_sqlite else f"DROP FUNCTION {name}() CASCADE")


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def _make_trigram_indexes(connection: sa.Connection) -> None:
    extension = connection.execute(sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")).first()
    if extension is None:
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            for column in TRIGRAMS:
                name, part = f"ix_projects_{column}_trigram", f"lower({column}) gin_trgm_ops"
                connection.execute(sa.text(f"CREATE INDEX {name} ON projects USING gin ({part})"))
    except DBAPIError:
        return


def upgrade() -> None:
    """Create the tables, and count projects, templates, and the tenants that are not hidden."""
    op.create_table(
        "projects",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("project_id", sa.String(length=100), nullable=False),
        sa.Column("tenant_id", ID, nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("client_name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("custom_instructions", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column(
            "priority",
            _one_of("priority", "low", "normal", "high", "critical"),
            server_default="normal",
            nullable=False,
        ),
        sa.Column("provider_override", _one_of("provider_override", "gemini", "openai", "anthropic"), nullable=True),
        sa.Column("model_override", sa.String(length=100), nullable=True),
        sa.Column("temperature_override", sa.Float(), nullable=True),
        sa.Column("max_tokens_override", sa.Integer(), nullable=True),
        sa.Column("monthly_budget_override", sa.BigInteger(), nullable=True),
        sa.Column("activation_code_id", ID, nullable=True),
        sa.Column(
            "execution_status",
            _one_of("execution_status", "pending", "running", "completed", "failed", "paused"),
            server_default="pending",
            nullable=False,
        ),
        sa.Column("show_completion_modal", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["activation_code_id"],
            ["activation_codes.id"],
            name=op.f("fk_projects_activation_code_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_projects_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("project_id", name="uq_projects_project_id"),
    )
    op.create_index("ix_projects_activation_code_id", "projects", ["activation_code_id"], unique=False)
    op.create_index("ix_projects_created_at_id", "projects", ["created_at", "id"], unique=False)
    op.create_index("ix_projects_tenant_id_created_at_id", "projects", ["tenant_id", "created_at", "id"], unique=False)
    op.create_table(
        "agent_settings",
        sa.Column("project_id", sa.String(length=100), nullable=False),
        sa.Column(
            "agent_type",
            _one_of(
                "agent_type",
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
            ),
            nullable=False,
        ),
        sa.Column("provider_override", _one_of("provider_override", "gemini", "openai", "anthropic"), nullable=True),
        sa.Column("model_override", sa.String(length=100), nullable=True),
        sa.Column("temperature_override", sa.Float(), nullable=True),
        sa.Column("max_tokens_override", sa.Integer(), nullable=True),
        sa.Column("custom_prompt", sa.Text(), nullable=True),
        sa.Column("custom_instructions", sa.Text(), nullable=True),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_agent_settings_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "agent_type", name=op.f("pk_agent_settings")),
    )
    named = sa.text("model_override IS NOT NULL")
    for table in ("projects", "agent_settings"):
        name = f"ix_{table}_model_override"
        op.create_index(name, table, ["model_override"], postgresql_where=named, sqlite_where=named)
    op.create_table(
        "setting_changes",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("scope", _one_of("scope", "system", "project", "agent"), nullable=False),
        sa.Column("project_id", sa.String(length=100), nullable=True),
        sa.Column("agent_type", sa.String(length=32), nullable=True),
        sa.Column("field", sa.String(length=50), nullable=False),
        sa.Column("old_value", sa.Text(), nullable=False),
        sa.Column("new_value", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("actor_type", sa.String(length=32), nullable=False),
        sa.Column("actor_name", sa.String(length=255), nullable=False),
        sa.Column("actor_id", ID, nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_setting_changes_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_setting_changes")),
    )
    op.create_index(
        "ix_setting_changes_actor_name_changed_at_id",
        "setting_changes",
        ["actor_name", "changed_at", "id"],
        unique=False,
    )
    op.create_index("ix_setting_changes_changed_at_id", "setting_changes", ["changed_at", "id"], unique=False)
    op.create_index(
        "ix_setting_changes_project_id_changed_at_id",
        "setting_changes",
        ["project_id", "changed_at", "id"],
        unique=False,
    )
    op.create_table(
        "llm_alerts",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("level", _one_of("level", "info", "warning", "critical"), nullable=False),
        sa.Column("message", sa.String(length=500), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("tenant_id", ID, nullable=True),
        sa.Column("project_id", sa.String(length=100), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("dismissed_at", Instant(), nullable=True),
        sa.Column("dismissed_by", sa.String(length=255), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_llm_alerts_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_llm_alerts_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_llm_alerts")),
        sa.UniqueConstraint("key", name="uq_llm_alerts_key"),
    )
    alert_order = ("llm_alerts", ["created_at", "id"])
    op.create_index("ix_llm_alerts_dismissed", *alert_order, **only_where("dismissed_at IS NOT NULL"))
    op.create_index("ix_llm_alerts_open", *alert_order, **only_where("dismissed_at IS NULL"))
    op.create_index("ix_llm_alerts_project_id", "llm_alerts", ["project_id"], unique=False)
    op.create_index("ix_llm_alerts_tenant_id", "llm_alerts", ["tenant_id"], unique=False)
    op.create_table(
        "tenant_deletions",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("slug", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("requested_by", sa.String(length=255), nullable=False),
        sa.Column("requested_at", Instant(), nullable=False),
        sa.Column("found", sa.Text(), nullable=True),
        sa.Column("removed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("held_until", Instant(), nullable=True),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant_deletions")),
    )
    op.create_index(
        "uq_tenant_deletions_tenant_id",
        "tenant_deletions",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
        sqlite_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "ix_tenant_deletions_unfinished",
        "tenant_deletions",
        ["id"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
        sqlite_where=sa.text("finished_at IS NULL"),
    )
    op.add_column("tenants", sa.Column("deleted_at", Instant(), nullable=True))
    op.create_index(
        "ix_tenants_deleted",
        "tenants",
        ["id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
    )
    _drop_triggers("tenants", OLD_CHANGES)
    for table, metrics in METRICS_BY_TABLE.items():
        _create_triggers(table, metrics, CHANGES)
    if op.get_bind().dialect.name != "sqlite":
        _make_trigram_indexes(op.get_bind())


def downgrade() -> None:
    """Drop them, and count tenants as before."""
    for table in METRICS_BY_TABLE:
        _drop_triggers(table, CHANGES)
    for table, metrics in OLD_METRICS.items():
        _create_triggers(table, metrics, OLD_CHANGES)
    op.drop_index("ix_tenants_deleted", table_name="tenants")
    # In place: a copy of the table would lose the triggers of other tables that name it.
    op.drop_column("tenants", "deleted_at")
    for table in ("tenant_deletions", "llm_alerts", "setting_changes", "agent_settings", "projects"):
        op.drop_table(table)
