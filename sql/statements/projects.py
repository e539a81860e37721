"""Projects: finding, inserting, changing and deleting them, and giving one an activation code."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Select,
    String,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    true,
    update,
)

from sql.dialect import batch_rows, insert, named_lock, referenced_column
from sql.hidden import hidden_too, is_shown, tenant_is_shown
from sql.scope import across_tenants
from sql.statements.activation import is_good
from sql.tables import activation_codes, agent_settings, projects, subscriptions, tenants

_OPERATORS = "operators see the projects of all tenants, and those of none"

_own_details = (
    projects.c.name,
    projects.c.client_name,
    projects.c.description,
    projects.c.custom_instructions,
    projects.c.is_active,
    projects.c.priority,
    projects.c.provider_override,
    projects.c.model_override,
    projects.c.temperature_override,
    projects.c.max_tokens_override,
    projects.c.monthly_budget_override,
    projects.c.activation_code_id,
    projects.c.execution_status,
    projects.c.run_id,
    projects.c.show_completion_modal,
    projects.c.version,
    projects.c.created_at,
    projects.c.updated_at,
)
_of_tenant = {
    "tenant_name": tenants.c.name,
    "tenant_slug": tenants.c.slug,
    "subscription_state": tenants.c.subscription_state,
}
_keys = (projects.c.id, projects.c.project_id, projects.c.tenant_id)

project_details = (*_keys, *(column.label(name) for name, column in _of_tenant.items()), *_own_details)

_with_tenant: Select[*tuple[object, ...]] = (
    select(*project_details).select_from(projects).outerjoin(tenants, tenants.c.id == projects.c.tenant_id)
)
_is_named = projects.c.project_id == bindparam("project_id")
_is_of_tenant = projects.c.tenant_id == bindparam("tenant_id")

project_of_tenant = _with_tenant.where(_is_of_tenant, _is_named, tenant_is_shown)
project_of_anyone = across_tenants(_with_tenant.where(_is_named, is_shown(projects)), _OPERATORS)

# FOR NO KEY UPDATE: its settings change for nobody else meanwhile, and others may still insert rows that refer to it.
project_of_tenant_locked = project_of_tenant.with_for_update(key_share=True, of=projects)
project_of_anyone_locked = across_tenants(
    project_of_anyone.with_for_update(key_share=True, of=projects),
    _OPERATORS,
)

_asked = batch_rows(project_id=String)

agent_prompts = hidden_too(
    select(
        agent_settings.c.project_id,
        agent_settings.c.agent_type,
        agent_settings.c.provider_override,
        agent_settings.c.model_override,
        agent_settings.c.temperature_override,
        agent_settings.c.max_tokens_override,
        agent_settings.c.custom_prompt,
        agent_settings.c.custom_instructions,
        agent_settings.c.enabled,
        agent_settings.c.updated_at,
    )
    .select_from(_asked)
    .join(agent_settings, agent_settings.c.project_id == _asked.c.project_id)
    .order_by(agent_settings.c.project_id, agent_settings.c.agent_type),
    "the projects were found just before, and none of them is hidden",
)

# Without it, as many as wait for one id would read the family and try the next one each time that one of them commits.
wait_for_family = select(named_lock(bindparam("family", type_=String)))

_family = (
    select(projects.c.project_id)
    .where(
        or_(_is_named, and_(projects.c.project_id >= bindparam("first"), projects.c.project_id <= bindparam("last")))
    )
    .subquery("family")
)

# What decides about a new project of a tenant: a row for each taken id of the family, or one whose id is null.
creation_situation = across_tenants(
    select(
        subscriptions.c.state.label("subscription_state"),
        subscriptions.c.grace_until,
        subscriptions.c.trial_ends_at,
        exists().where(projects.c.tenant_id == bindparam("tenant_id")).label("has_projects"),
        _family.c.project_id.label("taken_id"),
    )
    .select_from(tenants)
    .outerjoin(subscriptions, and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None)))
    .outerjoin(_family, true())
    .where(tenants.c.id == bindparam("tenant_id"), tenant_is_shown),
    "a project's id is unique among the projects of all tenants",
)

# Returns no row where the id is taken. It returns all details, because others may be waiting for this id: the less is
# left to do before the commit, the sooner they go on.
insert_project = across_tenants(
    hidden_too(
        insert(projects)
        .on_conflict_do_nothing(index_elements=[projects.c.project_id])
        .returning(
            *_keys,
            *(
                referenced_column(column, tenants.c.id, projects.c.tenant_id).label(name)
                for name, column in _of_tenant.items()
            ),
            *_own_details,
        ),
        "its tenant, if it has one, was found and locked just before",
    ),
    "the row says whose project it is, and an operator's is of no tenant",
)

# Sets the columns that are passed as parameters.
set_project = across_tenants(
    hidden_too(
        update(projects).where(projects.c.id == bindparam("of_id")),
        "the row was found and locked just before, and it was shown",
    ),
    "the caller has found and locked the row, for its tenant or for an operator",
)

set_completion_modal = (
    update(projects)
    .where(projects.c.tenant_id == bindparam("of_tenant_id"), projects.c.project_id == bindparam("of_project_id"))
    .values(show_completion_modal=bindparam("is_shown", type_=Boolean))
)

_not_running = projects.c.execution_status != "running"
_deleted = (projects.c.tenant_id, projects.c.name)

delete_project_of_tenant = (
    delete(projects).where(projects.c.tenant_id == bindparam("tenant_id"), _is_named, _not_running).returning(*_deleted)
)
delete_project_of_anyone = across_tenants(
    delete(projects).where(_is_named, _not_running, is_shown(projects)).returning(*_deleted), _OPERATORS
)

# Takes one use of the code with this hash.
use_code_for_project = (
    update(activation_codes)
    .where(
        activation_codes.c.tenant_id == bindparam("of_tenant_id"),
        activation_codes.c.code_hash == bindparam("of_code_hash"),
        activation_codes.c.use_count < activation_codes.c.max_uses,
        is_good,
    )
    .values(
        use_count=activation_codes.c.use_count + 1,
        used_at=func.coalesce(activation_codes.c.used_at, bindparam("now")),
    )
    .returning(activation_codes.c.id, activation_codes.c.hint)
)

# A project gets a code once.
set_code_of_project = (
    update(projects)
    .where(
        projects.c.tenant_id == bindparam("of_tenant_id"),
        projects.c.project_id == bindparam("of_project_id"),
        projects.c.activation_code_id.is_(None),
    )
    .values(activation_code_id=bindparam("code_id"), updated_at=bindparam("now"))
)

# Everything that the explanation of a refusal may need; no row where the tenant has no such project.
assignment_situation = (
    select(
        projects.c.activation_code_id.label("project_code_id"),
        activation_codes.c.id.label("code_id"),
        activation_codes.c.revoked_at,
        activation_codes.c.expires_at,
        activation_codes.c.use_count,
        activation_codes.c.max_uses,
    )
    .select_from(projects)
    .outerjoin(
        activation_codes,
        and_(
            activation_codes.c.tenant_id == projects.c.tenant_id,
            activation_codes.c.code_hash == bindparam("code_hash"),
        ),
    )
    .where(_is_of_tenant, _is_named)
)
