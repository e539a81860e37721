"""Prices of models: the operator's own ones, and the models that settings name."""

from __future__ import annotations

from sqlalchemy import Integer, String, and_, bindparam, delete, func, or_, select, union, update

from sql.dialect import batch_rows, insert
from sql.matching import lower_contains_pattern
from sql.scope import across_tenants
from sql.tables import agent_settings, model_prices, projects, tenants

_price = model_prices.c
_is_named = and_(_price.provider == bindparam("provider"), _price.model == bindparam("model"))
_to_change = and_(_price.provider == bindparam("of_provider"), _price.model == bindparam("of_model"))
_size = bindparam("size", type_=Integer)
_OPERATORS = "operators see what the projects of all tenants use"

own_price = select(model_prices).where(_is_named)

_asked = batch_rows(provider=String, model=String)
own_prices_of = (
    select(model_prices)
    .select_from(_asked)
    .join(model_prices, and_(_price.provider == _asked.c.provider, _price.model == _asked.c.model))
)

own_price_locked = own_price.with_for_update()

own_prices = select(model_prices).order_by(_price.provider, _price.model).limit(_size)

own_prices_matching = own_prices.where(lower_contains_pattern(_price.model))

insert_own_price = insert(model_prices).on_conflict_do_nothing(index_elements=["provider", "model"])

set_own_price = update(model_prices).where(_to_change)

delete_own_price = delete(model_prices).where(_to_change).returning(model_prices)

# Nothing runs in a project whose tenant is being deleted.
_visible_projects = projects.outerjoin(tenants, tenants.c.id == projects.c.tenant_id)
_is_visible = or_(projects.c.tenant_id.is_(None), tenants.c.deleted_at.is_(None))
_primary = bindparam("primary_provider", type_=String)

_system_models = batch_rows(provider=String, model=String)
_named = union(
    select(_system_models.c.provider, _system_models.c.model),
    select(func.coalesce(projects.c.provider_override, _primary), projects.c.model_override)
    .select_from(_visible_projects)
    .where(projects.c.model_override.is_not(None), _is_visible),
    select(
        func.coalesce(agent_settings.c.provider_override, projects.c.provider_override, _primary),
        agent_settings.c.model_override,
    )
    .select_from(agent_settings)
    .join(_visible_projects, projects.c.project_id == agent_settings.c.project_id)
    .where(agent_settings.c.model_override.is_not(None), agent_settings.c.enabled, _is_visible),
).subquery("named")

# The models of the system, which the batch holds, and those that projects and agents name, with their own prices.
named_models = across_tenants(
    select(
        _named.c.provider,
        _named.c.model,
        _price.input_price,
        _price.cached_input_price,
        _price.output_price,
        _price.updated_at,
        _price.updated_by,
    )
    .outerjoin(model_prices, and_(_price.provider == _named.c.provider, _price.model == _named.c.model))
    .order_by(_named.c.provider, _named.c.model)
    .limit(_size),
    _OPERATORS,
)

chosen_providers = across_tenants(
    union(
        select(projects.c.provider_override.label("provider"))
        .select_from(_visible_projects)
        .where(projects.c.provider_override.is_not(None), _is_visible),
        select(agent_settings.c.provider_override)
        .join(_visible_projects, projects.c.project_id == agent_settings.c.project_id)
        .where(agent_settings.c.provider_override.is_not(None), agent_settings.c.enabled, _is_visible),
    ),
    _OPERATORS,
)
