"""Calls of models: for whom one is made, and its row in the usage log."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, null, or_, select

from sql.dialect import insert
from sql.scope import across_tenants
from sql.tables import llm_calls, projects, tenants

# Nobody calls a model for a project whose tenant is being deleted.
project_owner = across_tenants(
    select(projects.c.tenant_id, projects.c.project_id, projects.c.id.label("project_number"), null().label("run_id"))
    .outerjoin(tenants, tenants.c.id == projects.c.tenant_id)
    .where(
        and_(
            projects.c.project_id == bindparam("project_id"),
            or_(projects.c.tenant_id.is_(None), tenants.c.deleted_at.is_(None)),
        )
    ),
    "an operator names a project by its id alone",
)

# A row that is there already stays: whoever settled first has written it.
insert_call = across_tenants(
    insert(llm_calls).on_conflict_do_nothing(index_elements=[llm_calls.c.request_id]),
    "a call for no tenant has none",
)
