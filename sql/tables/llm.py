"""Language models: settings with their history, prices, the usage log with its sums, alerts, learned templates."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    false,
    text,
    true,
)

from sql.dialect import installer
from sql.tables.columns import Id, Instant, choice, id_column, metadata, only_where
from sql.tables.projects import MAX_PROJECT_ID, PROVIDERS

AGENT_TYPES = (
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
)
SCOPES = ("system", "project", "agent")
ALERT_LEVELS = ("info", "warning", "critical")


def _project_id(*, is_key: bool = False) -> Column[str]:
    """A reference to a project whose rows go with it."""
    reference = ForeignKey("projects.project_id", ondelete="CASCADE")
    return Column("project_id", String(MAX_PROJECT_ID), reference, nullable=not is_key)


# One row, written at the first change; until then the defaults of the code are used.
system_settings = Table(
    "system_settings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    choice("primary_provider", *PROVIDERS),
    choice("secondary_provider", *PROVIDERS),
    choice("tertiary_provider", *PROVIDERS),
    Column("gemini_model", String(100), nullable=False),
    Column("openai_model", String(100), nullable=False),
    Column("anthropic_model", String(100), nullable=False),
    Column("temperature", Float, nullable=False),
    Column("max_tokens", Integer, nullable=False),
    Column("retries_per_provider", Integer, nullable=False),
    # Money is in 1e-9 USD, here and in every other table of this module.
    Column("monthly_budget", BigInteger, nullable=False),
    Column("daily_budget", BigInteger, nullable=False),
    Column("template_learning_enabled", Boolean, nullable=False),
    Column("cross_validation_enabled", Boolean, nullable=False),
    Column("cache_enabled", Boolean, nullable=False),
    Column("min_quality_score", Integer, nullable=False),
    Column("template_min_quality", Integer, nullable=False),
    Column("system_prompt", Text, nullable=False),
    # Counts the changes; sent as the ETag.
    Column("version", Integer, nullable=False),
    Column("updated_at", Instant, nullable=False),
    CheckConstraint("id = 1", name="only_row"),
)

# What differs for one kind of agent in one project; null means that the project's value is used.
agent_settings = Table(
    "agent_settings",
    metadata,
    _project_id(is_key=True),
    choice("agent_type", *AGENT_TYPES),
    choice("provider_override", *PROVIDERS, is_optional=True),
    Column("model_override", String(100)),
    Column("temperature_override", Float),
    Column("max_tokens_override", Integer),
    Column("custom_prompt", Text),
    Column("custom_instructions", Text),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    PrimaryKeyConstraint("project_id", "agent_type"),
    # The few that name a model are found for its price.
    Index("ix_agent_settings_model_override", "model_override", **only_where("model_override IS NOT NULL")),
)

# One row for each field that a change has changed.
setting_changes = Table(
    "setting_changes",
    metadata,
    id_column(),
    choice("scope", *SCOPES),
    _project_id(),
    Column("agent_type", String(32)),
    Column("field", String(50), nullable=False),
    # As JSON.
    Column("old_value", Text, nullable=False),
    Column("new_value", Text, nullable=False),
    # The version that the change has made.
    Column("version", Integer, nullable=False),
    Column("actor_type", String(32), nullable=False),
    Column("actor_name", String(255), nullable=False),
    Column("actor_id", Id),
    Column("request_id", String(64)),
    Column("changed_at", Instant, nullable=False),
    Index("ix_setting_changes_changed_at_id", "changed_at", "id"),
    Index("ix_setting_changes_project_id_changed_at_id", "project_id", "changed_at", "id"),
    Index("ix_setting_changes_actor_name_changed_at_id", "actor_name", "changed_at", "id"),
)

# An operator's own price of a model, which comes before that of the price list. Each is for a million tokens.
model_prices = Table(
    "model_prices",
    metadata,
    choice("provider", *PROVIDERS),
    Column("model", String(100), nullable=False),
    Column("input_price", BigInteger, nullable=False),
    # Null: cached input costs as much as any other.
    Column("cached_input_price", BigInteger),
    Column("output_price", BigInteger, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("updated_by", String(255), nullable=False),
    PrimaryKeyConstraint("provider", "model"),
    CheckConstraint("input_price >= 0 AND cached_input_price >= 0 AND output_price >= 0", name="prices"),
)

# The usage log: one row for each call of a model, and for each answer from the cache.
llm_calls = Table(
    "llm_calls",
    metadata,
    id_column(),
    # The caller's id of the call: because of it a repeated row is not stored again.
    Column("request_id", String(64), nullable=False),
    # Plain values without foreign keys: what was spent stays when a project is deleted.
    Column("tenant_id", Id),
    Column("project_id", String(MAX_PROJECT_ID)),
    Column("run_id", Id),
    Column("task_id", Id),
    Column("agent_type", String(32), nullable=False),
    Column("agent_id", String(100)),
    Column("provider", String(32), nullable=False),
    Column("model", String(100), nullable=False),
    Column("input_tokens", BigInteger, nullable=False, server_default=text("0")),
    # Those of the input tokens that the provider has read from its cache.
    Column("cached_input_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("output_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("cost", BigInteger, nullable=False, server_default=text("0")),
    Column("duration_ms", BigInteger, nullable=False, server_default=text("0")),
    Column("success", Boolean, nullable=False, server_default=true()),
    # Answered from the portal's own cache, without a call.
    Column("cached", Boolean, nullable=False, server_default=false()),
    Column("error_message", String(1000)),
    Column("task_description", String(500)),
    Column("response_preview", String(500)),
    Column("created_at", Instant, nullable=False),
    # The day of ``created_at`` in the installation's time zone.
    Column("day", Date, nullable=False),
    UniqueConstraint("request_id", name="uq_llm_calls_request_id"),
    CheckConstraint(
        "input_tokens >= 0 AND cached_input_tokens >= 0 AND output_tokens >= 0 AND cost >= 0 AND duration_ms >= 0",
        name="amounts",
    ),
    # The log is ordered by age; each filter that may select few of many rows has its own index. The columns of the
    # other filters stand at the end, so that filters together are counted in the index alone.
    Index("ix_llm_calls_created_at_id", "created_at", "id", "agent_type", "provider", "success", "cached"),
    Index("ix_llm_calls_agent_type_created_at_id", "agent_type", "created_at", "id", "provider", "success", "cached"),
    Index("ix_llm_calls_provider_created_at_id", "provider", "created_at", "id", "agent_type", "success", "cached"),
    # In the index of either one, a count would also read what the other one does not choose.
    Index(
        "ix_llm_calls_agent_type_provider_created_at_id",
        *("agent_type", "provider", "created_at", "id", "success", "cached"),
    ),
    Index("ix_llm_calls_tenant_id_created_at_id", "tenant_id", "created_at", "id"),
    Index("ix_llm_calls_project_id_created_at_id", "project_id", "created_at", "id"),
    Index("ix_llm_calls_failed", "created_at", "id", "agent_type", "provider", **only_where("NOT success")),
    Index("ix_llm_calls_cached", "created_at", "id", "agent_type", "provider", **only_where("cached")),
    Index("ix_llm_calls_day", "day"),
)


def _sums() -> list[Column[int]]:
    names = ("calls", "successes", "cached", "input_tokens", "output_tokens", "cost", "duration_ms")
    return [Column(name, BigInteger, nullable=False) for name in names]


# Sums of the log by day. They stay when old rows of the log are removed.
llm_usage_days = Table(
    "llm_usage_days",
    metadata,
    Column("day", Date, nullable=False),
    Column("provider", String(32), nullable=False),
    Column("model", String(100), nullable=False),
    *_sums(),
    PrimaryKeyConstraint("day", "provider", "model"),
)

# A trigger only inserts here, in the transaction of the log's row, so that no call waits for another one's sum. A
# schedule folds the rows into the days; the current sum is that of both tables.
llm_usage_changes = Table(
    "llm_usage_changes",
    metadata,
    id_column(),
    Column("day", Date, nullable=False),
    Column("provider", String(32), nullable=False),
    Column("model", String(100), nullable=False),
    *_sums(),
)

# Answers of models, so that the same question is not paid for again. While somebody asks it, the row has no text.
model_answers = Table(
    "model_answers",
    metadata,
    # A keyed hash of the whole question: the tenant, who is asked at which address, the parameters, both prompts.
    Column("key_hash", LargeBinary, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE")),
    # The project that has paid for the answer.
    _project_id(),
    # Who asks or judges at the moment, and until when others wait for it.
    Column("holder", String(32)),
    Column("held_until", Instant),
    Column("text", Text),
    Column("answered_at", Instant),
    # How another provider has judged the text, and which one; null where none has.
    Column("score", Integer),
    Column("reason", String(500)),
    Column("judge_provider", String(32)),
    Column("judge_model", String(100)),
    CheckConstraint("(text IS NULL) = (answered_at IS NULL)", name="answered"),
    Index("ix_model_answers_tenant_id", "tenant_id"),
    Index("ix_model_answers_project_id", "project_id"),
    # What retention removes: what is old, and what a process that has died has left without a text.
    Index("ix_model_answers_answered_at", "answered_at"),
    Index("ix_model_answers_unanswered", "held_until", **only_where("text IS NULL")),
)

llm_alerts = Table(
    "llm_alerts",
    metadata,
    id_column(),
    # What the alert is about, so that it is raised once: such as the budget, its period and the level that is reached.
    Column("key", String(255), nullable=False),
    Column("type", String(50), nullable=False),
    choice("level", *ALERT_LEVELS),
    Column("message", String(500), nullable=False),
    Column("details", Text, nullable=False),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE")),
    _project_id(),
    Column("created_at", Instant, nullable=False),
    Column("dismissed_at", Instant),
    Column("dismissed_by", String(255)),
    UniqueConstraint("key", name="uq_llm_alerts_key"),
    # The list shows first those that nobody has dismissed, each newest first.
    Index("ix_llm_alerts_open", "created_at", "id", **only_where("dismissed_at IS NULL")),
    Index("ix_llm_alerts_dismissed", "created_at", "id", **only_where("dismissed_at IS NOT NULL")),
    Index("ix_llm_alerts_tenant_id", "tenant_id"),
    Index("ix_llm_alerts_project_id", "project_id"),
)

# The mail about a critical alert, one row for each who is to get it; its text is composed when it is sent.
alert_mails = Table(
    "alert_mails",
    metadata,
    id_column(),
    Column("alert_id", Id, ForeignKey("llm_alerts.id", ondelete="CASCADE"), nullable=False),
    Column("recipient", String(200), nullable=False),
    # While it is ``sending`` nobody else sends it. ``withdrawn``: there is no reason any more to send it to them.
    choice("state", "waiting", "sending", "sent", "failed", "withdrawn", server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # The reason of the failure, for operators.
    Column("failure", String(255)),
    Column("created_at", Instant, nullable=False),
    Column("begun_at", Instant),
    Column("finished_at", Instant),
    UniqueConstraint("alert_id", "recipient", name="uq_alert_mails_alert_id_recipient"),
    Index("ix_alert_mails_unfinished", "id", **only_where("state IN ('waiting', 'sending')")),
)

learned_templates = Table(
    "learned_templates",
    metadata,
    Column("template_id", String(36), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False),
    Column("task_pattern", String(500), nullable=False),
    # A hash of the pattern: what is learned again improves the same template.
    Column("pattern_signature", String(64), nullable=False),
    Column("template_content", Text, nullable=False),
    Column("source_llm", String(100), nullable=False),
    Column("quality_score", Float, nullable=False),
    Column("usage_count", Integer, nullable=False, server_default=text("0")),
    Column("cost_saved", BigInteger, nullable=False, server_default=text("0")),
    # A JSON array of texts.
    Column("parameters", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_used", Instant),
    UniqueConstraint("pattern_signature", name="uq_learned_templates_pattern_signature"),
    Index("ix_learned_templates_usage_count_template_id", "usage_count", "template_id"),
    Index("ix_learned_templates_quality_score_template_id", "quality_score", "template_id"),
    Index("ix_learned_templates_created_at_template_id", "created_at", "template_id"),
)

template_techs = Table(
    "template_techs",
    metadata,
    Column("template_id", String(36), ForeignKey("learned_templates.template_id", ondelete="CASCADE"), nullable=False),
    # The position in the template's stack, from 0.
    Column("position", Integer, nullable=False),
    Column("tech", String(100), nullable=False),
    PrimaryKeyConstraint("template_id", "position"),
    Index("ix_template_techs_tech_template_id", "tech", "template_id"),
)

_CHANGES_SQLITE = """
CREATE TRIGGER llm_calls_usage AFTER INSERT ON llm_calls
BEGIN
    INSERT INTO llm_usage_changes
        (day, provider, model, calls, successes, cached, input_tokens, output_tokens, cost, duration_ms)
    VALUES (new.day, new.provider, new.model, 1, new.success, new.cached, new.input_tokens, new.output_tokens,
        new.cost, new.duration_ms);
END
"""

_CHANGES_FUNCTION_POSTGRESQL = """
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

_CHANGES_POSTGRESQL = """
CREATE TRIGGER llm_calls_usage AFTER INSERT ON llm_calls
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION llm_calls_usage()
"""

event.listen(
    metadata,
    "after_create",
    installer(sqlite=(_CHANGES_SQLITE,), postgresql=(_CHANGES_FUNCTION_POSTGRESQL, _CHANGES_POSTGRESQL)),
)
