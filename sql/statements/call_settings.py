"""What a call of a model is made with: the settings of all levels and the operators' own prices, for many at a time."""

from __future__ import annotations

from sqlalchemy import Integer, String, and_, bindparam, func, select

from sql.dialect import batch_rows, json_rows
from sql.hidden import is_shown
from sql.scope import across_tenants
from sql.statements.settings import AGENT_COLUMNS, PROJECT_COLUMNS, SYSTEM_COLUMNS
from sql.tables import agent_settings, model_prices, projects, system_settings

_asked = batch_rows(place=Integer, project_id=String, agent_type=String)

# Own prices of any model that may be chosen: those of the system, and those of the project and of the agent.
_models = (
    *(
        func.coalesce(system_settings.c[name], bindparam(f"default_{name}", type_=String))
        for name in ("gemini_model", "openai_model", "anthropic_model")
    ),
    projects.c.model_override,
    agent_settings.c.model_override,
)
_price = model_prices.c
_prices = (
    select(json_rows(_price.provider, _price.model, _price.input_price, _price.cached_input_price, _price.output_price))
    .where(_price.model.in_(_models))
    .correlate(system_settings, projects, agent_settings)
    .scalar_subquery()
)

# A row for each that asks. The columns are labelled by their level; those of a level that has no row are null, and the
# project's number is null where there is no such project, or where it belongs to a tenant that is being deleted.
call_settings = across_tenants(
    select(
        _asked.c.place,
        projects.c.id.label("project_number"),
        _prices.label("prices"),
        *(column.label(f"system_{column.name}") for column in SYSTEM_COLUMNS),
        *(column.label(f"project_{column.name}") for column in PROJECT_COLUMNS),
        *(column.label(f"agent_{column.name}") for column in AGENT_COLUMNS),
    )
    .select_from(_asked)
    .outerjoin(system_settings, system_settings.c.id == 1)
    .outerjoin(projects, and_(projects.c.project_id == _asked.c.project_id, is_shown(projects)))
    .outerjoin(
        agent_settings,
        and_(
            agent_settings.c.project_id == projects.c.project_id,
            agent_settings.c.agent_type == _asked.c.agent_type,
        ),
    )
    .order_by(_asked.c.place),
    "whoever calls a model names a project by its id alone",
)
