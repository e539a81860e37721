"""Creating a project: by a tenant with an id made from its name, and by an operator with an id of their choice."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import ProjectConflictError, ProjectIncompleteError
from app.events import Event, EventType, record
from app.services.billing.allowance import Standing, may
from app.services.billing.clock import billing_now
from app.services.directory.lookup import Tenant, lock_tenant
from app.services.projects.details import Project
from app.services.projects.rules import family_of, missing_fields
from sql.statements import projects as statements


class _Situation(NamedTuple):
    """What decides about a new project, beside one of the taken ids of its family."""

    subscription_state: str | None
    grace_until: datetime | None
    trial_ends_at: datetime | None
    has_projects: bool
    taken_id: str | None

    @property
    def standing(self) -> Standing:
        """How the tenant's subscription stands."""
        return Standing(self.subscription_state, self.grace_until, self.trial_ends_at)


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
    at_billing = await billing_now(ctx)
    async with ctx.write() as conn:
        # Two of the tenant's creations would both see that it has no project yet.
        tenant = await lock_tenant(conn, ctx.tenant_slug)
        project = await _insert_named(conn, ctx, tenant, row, at_billing)
        await record(conn, ctx, _created(project))
        return project


async def _insert_named(
    conn: WriteConnection, ctx: Context, tenant: Tenant, row: dict[str, Any], at_billing: datetime
) -> Project:
    """Insert the row under the first id of its family that is free.

    Creations with the same base wait in line. Another transaction may insert an id of the family all the same, as an
    operator's does; the insert here waits for it, and where that one has committed, the situation is read again, and of
    the family only what comes after. So each round ends with one id more that is taken.
    """
    began = int(ctx.now().timestamp())
    family = family_of(row["name"], tenant.id, began)
    await conn.rows(statements.wait_for_family, family=family.base)
    project_id, first, taken, tries = family.base, family.first, set[str](), 0
    while True:
        names = {"project_id": project_id, "first": first, "last": family.last}
        found = await conn.many(statements.creation_situation, _Situation, tenant_id=tenant.id, **names)
        may("create_project", found[0].standing, at_billing, has_projects=found[0].has_projects).enforce()
        taken |= {situation.taken_id for situation in found if situation.taken_id}
        project_id = family.free_id(taken, began + tries)
        if project := await _insert(conn, ctx, {**row, "project_id": project_id, "tenant_id": tenant.id}):
            return project
        first, tries = max(first, project_id), tries + 1


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
        if (project := await _insert(conn, ctx, row)) is None:
            raise ProjectConflictError(project_id=project_id)
        await record(conn, ctx, _created(project))
        return project


async def _insert(conn: WriteConnection, ctx: Context, row: dict[str, Any]) -> Project | None:
    """The stored project, or None where the id is taken."""
    now = ctx.now()
    stored = {**row, "created_at": now, "updated_at": now, "created_by": ctx.actor.name}
    return await conn.maybe(statements.insert_project, Project, **stored)


def _created(project: Project) -> Event:
    return Event(
        EventType.PROJECT_CREATED,
        f"Project {project.name} created",
        tenant_id=project.tenant_id,
        project_id=project.project_id,
        metadata={"name": project.name},
    )
