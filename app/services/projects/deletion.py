"""Deleting a project with its settings and their history, unless it is running."""

from __future__ import annotations

from typing import NamedTuple

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import ProjectRunningError
from app.events import Event, EventType, record
from app.services.projects.details import any_project_on, own_project_on
from sql.statements import projects as statements


class _Deleted(NamedTuple):
    """What the event says of a project that has gone."""

    tenant_id: int | None
    name: str


async def delete_own_project(ctx: Context, project_id: str) -> None:
    """Delete a project of the tenant whose session asks; raises ProjectNotFoundError, ProjectRunningError."""
    key = {"tenant_id": ctx.tenant_id, "project_id": project_id}
    async with ctx.write() as conn:
        deleted = await conn.maybe(statements.delete_project_of_tenant, _Deleted, **key)
        if deleted is None:
            await own_project_on(conn, ctx, project_id)
            raise ProjectRunningError(project_id=project_id)
        await _record(conn, ctx, project_id, deleted)


async def delete_any_project(ctx: Context, project_id: str) -> None:
    """Delete the project of any tenant or of none; raises ProjectNotFoundError, ProjectRunningError."""
    async with ctx.write() as conn:
        deleted = await conn.maybe(statements.delete_project_of_anyone, _Deleted, project_id=project_id)
        if deleted is None:
            await any_project_on(conn, project_id)
            raise ProjectRunningError(project_id=project_id)
        await _record(conn, ctx, project_id, deleted)


async def _record(conn: WriteConnection, ctx: Context, project_id: str, deleted: _Deleted) -> None:
    title, metadata = f"Project {deleted.name} deleted", {"name": deleted.name}
    event = Event(
        EventType.PROJECT_DELETED, title, tenant_id=deleted.tenant_id, project_id=project_id, metadata=metadata
    )
    await record(conn, ctx, event)
