"""Changes of projects: their settings, their end, and their activation codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ariadne import EnumType, MutationType, ObjectType

from app.resolvers.context import Info
from app.resolvers.inputs import read_changes
from app.resolvers.problems import Payload, changing
from app.resolvers.project_inputs import AnyChanges, OperatorProject, OwnChanges, changes_in
from app.services.progress.records import ProjectProgress
from app.services.projects import changes, codes, creation, deletion
from app.services.projects.details import Project
from sql.tables.projects import PRIORITIES

priorities = EnumType("ProjectPriority", {name.upper(): name for name in PRIORITIES})
mutation = MutationType()
project = ObjectType("Project")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectPayload(Payload):
    """What a change of a project answers."""

    project: ProjectProgress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteProjectPayload(Payload):
    """What the deletion of a project answers."""

    project_id: str | None = None


async def _changed(info: Info, project_id: str) -> ProjectPayload:
    return ProjectPayload(project=await info.context.loaders.projects.load(project_id))


@project.field("settings")
async def resolve_settings(of: ProjectProgress, info: Info) -> Project | None:
    """What is set for it."""
    return await info.context.loaders.runs.project_settings.load(of.number)


@mutation.field("createOperatorProject")
@changing(ProjectPayload)
async def resolve_create_operator_project(_: Any, info: Info, *, input: dict[str, Any]) -> ProjectPayload:  # noqa: A002 - the argument's name
    """Create a project of no tenant."""
    new = read_changes(input, OperatorProject)
    await creation.create_any_project(info.context.ctx, **new.model_dump())
    return await _changed(info, new.project_id)


@mutation.field("updateProject")
@changing(ProjectPayload)
async def resolve_update_project(_: Any, info: Info, *, input: dict[str, Any]) -> ProjectPayload:  # noqa: A002 - the argument's name
    """Change a project."""
    project_id, ctx = input.pop("project_id"), info.context.ctx
    if ctx.session is not None:
        await changes.update_own_project(ctx, project_id, changes_in(input, OwnChanges))
    else:
        version = input.pop("version", None)
        versions = None if version is None else frozenset({version})
        await changes.update_any_project(ctx, project_id, changes_in(input, AnyChanges), versions)
    return await _changed(info, project_id)


@mutation.field("deleteProject")
@changing(DeleteProjectPayload)
async def resolve_delete_project(_: Any, info: Info, *, input: dict[str, Any]) -> DeleteProjectPayload:  # noqa: A002 - the argument's name
    """Delete a project."""
    ctx, project_id = info.context.ctx, input["project_id"]
    delete = deletion.delete_any_project if ctx.session is None else deletion.delete_own_project
    await delete(ctx, project_id)
    return DeleteProjectPayload(project_id=project_id)


@mutation.field("assignActivationCode")
@changing(ProjectPayload)
async def resolve_assign_activation_code(_: Any, info: Info, *, input: dict[str, Any]) -> ProjectPayload:  # noqa: A002 - the argument's name
    """Give a project an activation code."""
    await codes.assign_code(info.context.ctx, input["project_id"], input["activation_code"])
    return await _changed(info, input["project_id"])


@mutation.field("showCompletionModal")
@changing(ProjectPayload)
async def resolve_show_completion_modal(_: Any, info: Info, *, input: dict[str, Any]) -> ProjectPayload:  # noqa: A002 - the argument's name
    """Say whether a dialog tells that a run has ended."""
    await changes.show_completion_modal(info.context.ctx, input["project_id"], is_shown=input["is_shown"])
    return await _changed(info, input["project_id"])
