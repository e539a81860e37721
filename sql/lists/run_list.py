"""Pages of the runs of one or all tenants, newest first."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, and_, bindparam, select

from sql.hidden import is_shown, tenant_is_shown
from sql.scope import across_tenants
from sql.statements.runs import listed_columns
from sql.tables import projects, runs, tenants


def run_page(has_state: bool, has_tenant: bool, has_project: bool) -> Select[Any]:
    """A page of runs below an id."""
    statement = (
        select(*listed_columns)
        .select_from(runs)
        .join(projects, and_(projects.c.tenant_id == runs.c.tenant_id, projects.c.id == runs.c.project_number))
        .join(tenants, tenants.c.id == runs.c.tenant_id)
        .where(runs.c.id < bindparam("before_id"), is_shown(runs), tenant_is_shown)
        .order_by(runs.c.id.desc())
        .limit(bindparam("max_rows"))
    )
    if has_state:
        statement = statement.where(runs.c.state == bindparam("state"))
    if has_project:
        statement = statement.where(projects.c.project_id == bindparam("project_id"))
    if has_tenant:
        return statement.where(runs.c.tenant_id == bindparam("tenant_id"))
    return across_tenants(statement, "operators see the runs of all tenants")
