"""Language models: settings, prices, the usage log with its sums, and learned templates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

CHANGES_SQLITE = """
CREATE TRIGGER llm_calls_usage AFTER INSERT ON llm_calls
BEGIN
    INSERT INTO llm_usage_changes
        (day, provider, model, calls, successes, cached, input_tokens, output_tokens, cost, duration_ms)
    VALUES (new.day, new.provider, new.model, 1, new.success, new.cached, new.input_tokens, new.output_tokens,
        new.cost, new.duration_ms);
END
"""

CHANGES_FUNCTION_POSTGRESQL = """
CREATE FUNCTION llm_calls_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO llm_usage_changes
        (day, provider, model, calls, successes, cached, input_tokens, output_tokens, cost, duration_ms)
    SELECT day, provider, model, count(*), count(*) FILTER (WHERE success), count(*) FILTER (WHERE cached),
        sum(input_tokens), sum(output_tokens), sum(cost), sum(duration_ms)
    FROM inserted GROUP BY day, provider, model;
    RETURN NULL;
END $$
"""

CHANGES_POSTGRESQL = """
CREATE TRIGGER llm_calls_usage AFTER INSERT ON llm_calls
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION llm_calls_usage()
"""


def upgrade() -> None:
    """Create the tables, and the trigger that keeps the sums."""
    op.create_table(
        "system_settings",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "primary_provider",
            sa.Enum(
                "gemini",
                "openai",
                "anthropic",
                name="primary_provider",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "secondary_provider",
            sa.Enum(
                "gemini",
                "openai",
                "anthropic",
                name="secondary_provider",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "tertiary_provider",
            sa.Enum(
                "gemini",
                "openai",
                "anthropic",
                name="tertiary_provider",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("gemini_model", sa.String(length=100), nullable=False),
        sa.Column("openai_model", sa.String(length=100), nullable=False),
        sa.Column("anthropic_model", sa.String(length=100), nullable=False),
        sa.Column("temperature", sa.Float(), nullable=False),
        sa.Column("max_tokens", sa.Integer(), nullable=False),
        sa.Column("retries_per_provider", sa.Integer(), nullable=False),
        sa.Column("monthly_budget", sa.BigInteger(), nullable=False),
        sa.Column("daily_budget", sa.BigInteger(), nullable=False),
        sa.Column("template_learning_enabled", sa.Boolean(), nullable=False),
        sa.Column("cross_validation_enabled", sa.Boolean(), nullable=False),
        sa.Column("cache_enabled", sa.Boolean(), nullable=False),
        sa.Column("min_quality_score", sa.Integer(), nullable=False),
        sa.Column("template_min_quality", sa.Integer(), nullable=False),
        sa.Column("system_prompt", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_system_settings_only_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_system_settings")),
    )
    op.create_table(
        "model_prices",
        sa.Column(
            "provider",
            sa.Enum(
                "gemini", "openai", "anthropic", name="provider", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("input_price", sa.BigInteger(), nullable=False),
        sa.Column("cached_input_price", sa.BigInteger(), nullable=True),
        sa.Column("output_price", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.CheckConstraint(
            "input_price >= 0 AND cached_input_price >= 0 AND output_price >= 0", name=op.f("ck_model_prices_prices")
        ),
        sa.PrimaryKeyConstraint("provider", "model", name=op.f("pk_model_prices")),
    )
    op.create_table(
        "llm_calls",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", ID, nullable=True),
        sa.Column("project_id", sa.String(length=100), nullable=True),
        sa.Column("run_id", ID, nullable=True),
        sa.Column("task_id", ID, nullable=True),
        sa.Column("agent_type", sa.String(length=32), nullable=False),
        sa.Column("agent_id", sa.String(length=100), nullable=True),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("success", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("cached", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("error_message", sa.String(length=1000), nullable=True),
        sa.Column("task_description", sa.String(length=500), nullable=True),
        sa.Column("response_preview", sa.String(length=500), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.CheckConstraint(
            "input_tokens >= 0 AND cached_input_tokens >= 0 AND output_tokens >= 0 AND cost >= 0 AND duration_ms >= 0",
            name=op.f("ck_llm_calls_amounts"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_llm_calls")),
        sa.UniqueConstraint("request_id", name="uq_llm_calls_request_id"),
    )
    op.create_index(
        "ix_llm_calls_agent_type_created_at_id",
        "llm_calls",
        ["agent_type", "created_at", "id", "provider", "success", "cached"],
        unique=False,
    )
    op.create_index(
        "ix_llm_calls_cached",
        "llm_calls",
        ["created_at", "id", "agent_type", "provider"],
        unique=False,
        postgresql_where=sa.text("cached"),
        sqlite_where=sa.text("cached"),
    )
    op.create_index(
        "ix_llm_calls_created_at_id",
        "llm_calls",
        ["created_at", "id", "agent_type", "provider", "success", "cached"],
        unique=False,
    )
    op.create_index("ix_llm_calls_day", "llm_calls", ["day"], unique=False)
    op.create_index(
        "ix_llm_calls_failed",
        "llm_calls",
        ["created_at", "id", "agent_type", "provider"],
        unique=False,
        postgresql_where=sa.text("NOT success"),
        sqlite_where=sa.text("NOT success"),
    )
    op.create_index(
        "ix_llm_calls_project_id_created_at_id", "llm_calls", ["project_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_llm_calls_provider_created_at_id",
        "llm_calls",
        ["provider", "created_at", "id", "agent_type", "success", "cached"],
        unique=False,
    )
    op.create_index(
        "ix_llm_calls_tenant_id_created_at_id", "llm_calls", ["tenant_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "llm_usage_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("successes", sa.BigInteger(), nullable=False),
        sa.Column("cached", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "provider", "model", name=op.f("pk_llm_usage_days")),
    )
    op.create_table(
        "llm_usage_changes",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("successes", sa.BigInteger(), nullable=False),
        sa.Column("cached", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_llm_usage_changes")),
    )
    op.create_table(
        "learned_templates",
        sa.Column("template_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("task_pattern", sa.String(length=500), nullable=False),
        sa.Column("pattern_signature", sa.String(length=64), nullable=False),
        sa.Column("template_content", sa.Text(), nullable=False),
        sa.Column("source_llm", sa.String(length=100), nullable=False),
        sa.Column("quality_score", sa.Float(), nullable=False),
        sa.Column("usage_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost_saved", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("last_used", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("template_id", name=op.f("pk_learned_templates")),
        sa.UniqueConstraint("pattern_signature", name="uq_learned_templates_pattern_signature"),
    )
    op.create_index(
        "ix_learned_templates_created_at_template_id", "learned_templates", ["created_at", "template_id"], unique=False
    )
    op.create_index(
        "ix_learned_templates_quality_score_template_id",
        "learned_templates",
        ["quality_score", "template_id"],
        unique=False,
    )
    op.create_index(
        "ix_learned_templates_usage_count_template_id",
        "learned_templates",
        ["usage_count", "template_id"],
        unique=False,
    )
    op.create_table(
        "template_techs",
        sa.Column("template_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("tech", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["learned_templates.template_id"],
            name=op.f("fk_template_techs_template_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("template_id", "position", name=op.f("pk_template_techs")),
    )
    op.create_index("ix_template_techs_tech_template_id", "template_techs", ["tech", "template_id"], unique=False)
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for definition in (CHANGES_SQLITE,) if is_sqlite else (CHANGES_FUNCTION_POSTGRESQL, CHANGES_POSTGRESQL):
        op.get_bind().exec_driver_sql(definition)


def downgrade() -> None:
    """Drop them."""
    for table in (
        "template_techs",
        "learned_templates",
        "llm_usage_changes",
        "llm_usage_days",
        "llm_calls",
        "model_prices",
        "system_settings",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION llm_calls_usage()")
