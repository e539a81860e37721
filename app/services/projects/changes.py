"""Changing a project: what differs from what is stored is written, with a new version, its history and an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import ProjectNotFoundError, VersionConflictError
from app.events import Event, EventType, record
from app.services.llm.effective import require_priced_model
from app.services.llm.history import differences, record_setting_changes
from app.services.llm.levels import ProjectSettings
from app.services.llm.system_settings import read_system_settings
from app.services.projects.details import Project, any_project_on, own_project_on
from sql.folding import joined_key, key
from sql.statements import projects as statements
from sql.tables.projects import SEARCHED, SHOWN_NAME


async def update_own_project(ctx: Context, project_id: str, changes: Mapping[str, Any]) -> Project:
    """Set these columns of a project of the tenant whose session asks; raises ProjectNotFoundError."""
    key = {"tenant_id": ctx.tenant_id, "project_id": project_id}
    async with ctx.write() as conn:
        project = await conn.maybe(statements.project_of_tenant_locked, Project, **key)
        await _change(conn, ctx, _found(project, project_id), changes)
        return await own_project_on(conn, ctx, project_id)


async def update_any_project(
    ctx: Context, project_id: str, changes: Mapping[str, Any], versions: frozenset[int] | None = None
) -> Project:
    """Set these columns of the project of any tenant or of none; the budget is in 1e-9 USD.

    Raises ProjectNotFoundError, VersionConflictError where its version is none of ``versions``, ModelPriceMissingError.
    """
    async with ctx.write() as conn:
        found = await conn.maybe(statements.project_of_anyone_locked, Project, project_id=project_id)
        project = _found(found, project_id)
        if versions is not None and project.version not in versions:
            raise VersionConflictError(version=project.version)
        await _change(conn, ctx, project, changes)
        return await any_project_on(conn, project_id)


async def show_completion_modal(ctx: Context, project_id: str, *, is_shown: bool) -> None:
    """Whether the project's page tells that a run has ended; raises ProjectNotFoundError."""
    async with ctx.write_autocommit() as conn:
        key = {"of_tenant_id": ctx.tenant_id, "of_project_id": project_id}
        if not await conn.affected(statements.set_completion_modal, **key, is_shown=is_shown):
            raise ProjectNotFoundError(project_id=project_id)


def _found(project: Project | None, project_id: str) -> Project:
    if project is None:
        raise ProjectNotFoundError(project_id=project_id)
    return project


async def _change(conn: WriteConnection, ctx: Context, project: Project, changes: Mapping[str, Any]) -> None:
    """Store and record what differs from the stored project, which is locked; nothing, where nothing differs."""
    changed = differences(project, changes)
    if not changed:
        return
    new_values = {name: difference.new for name, difference in changed.items()}
    overrides = {name: new_values.get(name, getattr(project, name)) for name in ("provider_override", "model_override")}
    system = await read_system_settings(conn)
    await require_priced_model(conn, ctx, changed, system, ProjectSettings(**overrides))
    version = project.version + 1
    texts = {name: new_values.get(name, getattr(project, name)) for name in SEARCHED}
    folded = {"folded_name": key(*(texts[name] for name in SHOWN_NAME)), "searched": joined_key(*texts.values())}
    values = {**new_values, **folded, "version": version, "updated_at": ctx.now()}
    await conn.affected(statements.set_project, of_id=project.id, **values)
    await record_setting_changes(conn, ctx, "project", changed, version=version, project_id=project.project_id)
    # Texts may be long: their old and new values are in the history.
    metadata = {"fields": sorted(changed), "version": version}
    title = f"Project {new_values.get('name', project.name)} updated"
    event = Event(
        EventType.PROJECT_UPDATED,
        title,
        tenant_id=project.tenant_id,
        project_id=project.project_id,
        metadata=metadata,
    )
    await record(conn, ctx, event)
