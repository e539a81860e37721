"""Creating a project: by a tenant with an id made from its name, and by an operator with an id of their choice."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import ProjectConflictError, ProjectIncompleteError
from app.events import Event, EventType, record
from app.services.billing.allowance import may
from app.services.directory.lookup import Tenant, lock_tenant
from app.services.projects.details import Project, any_project_on, own_project_on
from app.services.projects.rules import family_of, missing_fields
from sql.statements import projects as statements


class _Situation(NamedTuple):
    """What decides about a new project, beside one of the taken ids of its family."""

    subscription_state: str | None
    has_projects: bool
    taken_id: str | None


async def create_project(
    ctx: Context, *, name: str, client_name: str | None, description: str | None, objectives: str | None
) -> Project:
    """Create a project of the tenant whose session asks.

    Raises ProjectIncompleteError naming what is absent, TenantNotFoundError, NoSubscriptionError,
    SubscriptionInactiveError, TrialProjectLimitError.
    """
    if missing := missing_fields({"description": description, "objectives": objectives}):
        raise ProjectIncompleteError(fields=missing)
    row = {"name": name, "client_name": client_name, "description": description, "custom_instructions": objectives}
    async with ctx.write() as conn:
        # Two of the tenant's creations would both see that it has no project yet.
        tenant = await lock_tenant(conn, ctx.tenant_slug)
        project_id = await _insert_named(conn, ctx, tenant, row)
        await record(conn, ctx, _created(project_id, name, tenant.id))
        return await own_project_on(conn, ctx, project_id)


async def _insert_named(conn: WriteConnection, ctx: Context, tenant: Tenant, row: dict[str, Any]) -> str:
    """Insert the row under the first id that is free, and answer the id.

    An insert waits for another transaction that inserts the same id. Where that one has committed, the situation is
    read again, so each round ends with one id more that is taken.
    """
    began = int(ctx.now().timestamp())
    family = family_of(row["name"], tenant.id, began)
    names = {"project_id": family.base, "first": family.first, "last": family.last}
    tries = 0
    while True:
        found = await conn.many(statements.creation_situation, _Situation, tenant_id=tenant.id, **names)
        may("create_project", found[0].subscription_state, has_projects=found[0].has_projects).enforce()
        project_id = family.free_id({situation.taken_id for situation in found if situation.taken_id}, began + tries)
        if await _insert(conn, ctx, {**row, "project_id": project_id, "tenant_id": tenant.id}):
            return project_id
        tries += 1


async def create_any_project(
    ctx: Context,
    *,
    project_id: str,
    client_name: str,
    description: str | None,
    custom_instructions: str | None,
    is_active: bool,
    priority: str,
) -> Project:
    """Create a project of no tenant; raises ProjectConflictError."""
    row = {
        "project_id": project_id,
        "tenant_id": None,
        "name": client_name,
        "client_name": client_name,
        "description": description,
        "custom_instructions": custom_instructions,
        "is_active": is_active,
        "priority": priority,
    }
    async with ctx.write() as conn:
        if not await _insert(conn, ctx, row):
            raise ProjectConflictError(project_id=project_id)
        await record(conn, ctx, _created(project_id, client_name, None))
        return await any_project_on(conn, project_id)


async def _insert(conn: WriteConnection, ctx: Context, row: dict[str, Any]) -> bool:
    """Whether the id was free; then the project is stored."""
    now = ctx.now()
    stored = {**row, "created_at": now, "updated_at": now, "created_by": ctx.actor.name}
    return bool(await conn.rows(statements.insert_project, **stored))


def _created(project_id: str, name: str, tenant_id: int | None) -> Event:
    metadata = {"name": name}
    title = f"Project {name} created"
    return Event(EventType.PROJECT_CREATED, title, tenant_id=tenant_id, project_id=project_id, metadata=metadata)
