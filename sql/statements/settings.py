"""Settings for language models: of the system, and of agents in projects."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, or_, select, update

from sql.dialect import insert
from sql.hidden import hidden_too
from sql.scope import across_tenants
from sql.tables import agent_settings, projects, system_settings, tenants

_BY_ID = "an operator names a project by its id alone"
_system = system_settings.c
_agent = agent_settings.c

SYSTEM_COLUMNS = [column for column in _system if column.name not in {"id", "updated_at"}]
AGENT_COLUMNS = (
    _agent.agent_type,
    _agent.provider_override,
    _agent.model_override,
    _agent.temperature_override,
    _agent.max_tokens_override,
    _agent.custom_prompt,
    _agent.custom_instructions,
    _agent.enabled,
    _agent.version,
    _agent.updated_at,
)
PROJECT_COLUMNS = (
    projects.c.provider_override,
    projects.c.model_override,
    projects.c.temperature_override,
    projects.c.max_tokens_override,
    projects.c.monthly_budget_override,
    projects.c.custom_instructions,
)

system_settings_row = select(*SYSTEM_COLUMNS).where(_system.id == 1)

system_settings_row_locked = system_settings_row.with_for_update()

insert_system_settings = insert(system_settings).on_conflict_do_nothing(index_elements=["id"])

set_system_settings = update(system_settings).where(_system.id == 1)

# Nothing finds a project whose tenant is being deleted.
_visible_project = and_(
    projects.c.project_id == bindparam("project_id"),
    or_(projects.c.tenant_id.is_(None), tenants.c.deleted_at.is_(None)),
)

# A lock of the project also orders the changes of its agents, whose first one has no row yet.
project_locked = across_tenants(
    select(projects.c.project_id, projects.c.tenant_id)
    .outerjoin(tenants, tenants.c.id == projects.c.tenant_id)
    .where(_visible_project)
    .with_for_update(of=projects),
    _BY_ID,
)

# All that one agent's settings are made of, in one row: the columns are labelled by their level. Where the system or
# the agent has no row, its columns are null.
setting_levels = across_tenants(
    select(
        *(column.label(f"system_{column.name}") for column in SYSTEM_COLUMNS),
        *(column.label(f"project_{column.name}") for column in PROJECT_COLUMNS),
        *(column.label(f"agent_{column.name}") for column in AGENT_COLUMNS),
    )
    .select_from(projects)
    .outerjoin(tenants, tenants.c.id == projects.c.tenant_id)
    .outerjoin(system_settings, _system.id == 1)
    .outerjoin(
        agent_settings,
        and_(_agent.project_id == projects.c.project_id, _agent.agent_type == bindparam("agent_type")),
    )
    .where(_visible_project),
    _BY_ID,
)

_LOCKED = "the project was found and locked just before, and it was shown"

agent_settings_row = hidden_too(
    select(*AGENT_COLUMNS).where(
        _agent.project_id == bindparam("project_id"), _agent.agent_type == bindparam("agent_type")
    ),
    _LOCKED,
)

insert_agent_settings = insert(agent_settings)

set_agent_settings = hidden_too(
    update(agent_settings).where(
        _agent.project_id == bindparam("of_project_id"), _agent.agent_type == bindparam("of_agent_type")
    ),
    _LOCKED,
)
