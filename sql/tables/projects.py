"""Projects: what a tenant describes, gives an activation code, and runs."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
    true,
)

from sql.folding import joined_key_of, key_of
from sql.tables.columns import FoldedName, FoldedText, Id, Instant, choice, id_column, metadata, only_where

PROVIDERS = ("gemini", "openai", "anthropic")
PRIORITIES = ("low", "normal", "high", "critical")
EXECUTION_STATUSES = ("pending", "running", "completed", "failed", "paused")
MAX_PROJECT_ID = 100
# The client's name for it, or else its own.
SHOWN_NAME = ("client_name", "name")
SEARCHED = ("project_id", "name", "client_name", "description", "custom_instructions")

projects = Table(
    "projects",
    metadata,
    # Orders projects of the same moment; every other table refers to a project by its project_id.
    id_column(),
    # Made from the name, unique among the projects of all tenants.
    Column("project_id", String(MAX_PROJECT_ID), nullable=False),
    # Null for an operator's own project, which can be configured but never run.
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE")),
    Column("name", String(255), nullable=False),
    Column("client_name", String(255)),
    Column("description", Text),
    # What the tenant calls objectives.
    Column("custom_instructions", Text),
    # By these it is searched: the name that is shown, and all texts together, so that one index serves them.
    Column("folded_name", FoldedName, nullable=False, server_default=text("''"), default=key_of(*SHOWN_NAME)),
    Column("searched", FoldedText, nullable=False, server_default=text("''"), default=joined_key_of(*SEARCHED)),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    choice("priority", *PRIORITIES, server_default="normal"),
    # Null in each of these means that the system's value is used.
    choice("provider_override", *PROVIDERS, is_optional=True),
    Column("model_override", String(100)),
    Column("temperature_override", Float),
    Column("max_tokens_override", Integer),
    # In 1e-9 USD.
    Column("monthly_budget_override", BigInteger),
    Column("activation_code_id", Id, ForeignKey("activation_codes.id", ondelete="SET NULL")),
    choice("execution_status", *EXECUTION_STATUSES, server_default="pending"),
    # Its newest run; a plain number, because the run refers to the project.
    Column("run_id", Id),
    Column("show_completion_modal", Boolean, nullable=False, server_default=true()),
    # Counts the changes of its settings; sent as the ETag.
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("created_by", String(255), nullable=False),
    UniqueConstraint("project_id", name="uq_projects_project_id"),
    # Lists are ordered by age, those of one tenant and those of all.
    Index("ix_projects_tenant_id_created_at_id", "tenant_id", "created_at", "id"),
    Index("ix_projects_created_at_id", "created_at", "id"),
    Index("ix_projects_activation_code_id", "activation_code_id"),
    # The few that name a model are found for its price.
    Index("ix_projects_model_override", "model_override", **only_where("model_override IS NOT NULL")),
)
