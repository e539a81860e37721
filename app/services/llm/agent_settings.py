"""What one kind of agent has of its own in a project: seeing and changing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import AgentSettingsNotFoundError, ProjectNotFoundError, VersionConflictError
from app.events import Event, EventType, record
from app.services.llm.effective import require_priced_model
from app.services.llm.history import Difference, differences, record_setting_changes
from app.services.llm.levels import AgentSettings, read_levels
from app.services.llm.setting_values import agent_type_named
from sql.statements import settings as statements


class LockedProject(NamedTuple):
    """A project, locked until the transaction ends; without a tenant it is an operator's own."""

    project_id: str
    tenant_id: int | None


async def agent_settings(ctx: Context, project_id: str, agent_type: str) -> AgentSettings:
    """The agent's own settings; raises ValidationError, ProjectNotFoundError, AgentSettingsNotFoundError."""
    agent_type = agent_type_named(agent_type)
    async with ctx.read() as conn:
        stored = (await read_levels(conn, project_id, agent_type)).agent
    if stored is None:
        raise AgentSettingsNotFoundError(project_id=project_id, agent_type=agent_type)
    return stored


async def update_agent_settings(
    ctx: Context,
    project_id: str,
    agent_type: str,
    changes: Mapping[str, Any],
    expected: frozenset[int] | None = None,
) -> AgentSettings:
    """Set these columns of the agent, which gets settings of its own if it has none; None inherits.

    What differs is written with its history and makes a new version; version 0 is that of an agent without. Raises
    ValidationError, ProjectNotFoundError, VersionConflictError, ModelPriceMissingError; then nothing has changed.
    """
    agent_type = agent_type_named(agent_type)
    async with ctx.write() as conn:
        project = await conn.maybe(statements.project_locked, LockedProject, project_id=project_id)
        if project is None:
            raise ProjectNotFoundError(project_id=project_id)
        found = await conn.maybe(
            statements.agent_settings_row, AgentSettings, project_id=project_id, agent_type=agent_type
        )
        stored = found or AgentSettings(agent_type)
        if expected is not None and stored.version not in expected:
            raise VersionConflictError(version=stored.version)
        changed = differences(stored, changes)
        if found is not None and not changed:
            return found
        levels = await read_levels(conn, project_id, None)
        new = replace(stored, **{name: change.new for name, change in changed.items()})
        await require_priced_model(conn, ctx, changed, levels.system, levels.project, new)
        return await _store(conn, ctx, project, stored, changed)


async def _store(
    conn: WriteConnection,
    ctx: Context,
    project: LockedProject,
    stored: AgentSettings,
    changed: Mapping[str, Difference],
) -> AgentSettings:
    """Write what has changed, with its history and its event; an agent that has no row yet gets one."""
    now, is_new = ctx.now(), stored.version == 0
    key = {"project_id": project.project_id, "agent_type": stored.agent_type}
    new_values = {name: change.new for name, change in changed.items()}
    settings = replace(stored, **new_values, version=stored.version + 1, updated_at=now)
    stamps = {"version": settings.version, "updated_at": now}
    if is_new:
        await conn.affected(statements.insert_agent_settings, **key, **new_values, **stamps, created_at=now)
    else:
        of_key = {f"of_{name}": value for name, value in key.items()}
        await conn.affected(statements.set_agent_settings, **of_key, **new_values, **stamps)
    if changed:
        await record_setting_changes(conn, ctx, "agent", changed, version=settings.version, **key)
    title = f"Settings of {stored.agent_type} in {project.project_id} updated"
    metadata = {"scope": "agent", "agent_type": stored.agent_type, "fields": list(changed), "version": settings.version}
    await record(
        conn,
        ctx,
        Event(
            EventType.CONFIG_UPDATED,
            title,
            tenant_id=project.tenant_id,
            project_id=project.project_id,
            metadata=metadata,
        ),
    )
    return settings
