"""A project as its tenant and operators see it, with the settings of its agents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from app.context import Context
from app.database.connections import ReadConnection, as_batch
from app.errors import ProjectNotFoundError
from sql.statements import projects as statements


class AgentPrompt(NamedTuple):
    """What differs for one kind of agent in one project; None means that the project's value is used."""

    project_id: str
    agent_type: str
    provider_override: str | None
    model_override: str | None
    temperature_override: float | None
    max_tokens_override: int | None
    custom_prompt: str | None
    custom_instructions: str | None
    enabled: bool
    updated_at: datetime


class Project(NamedTuple):
    """A project beside its tenant, if it has one; the budget is in 1e-9 USD.

    ``subscription_state`` is that of the tenant's current subscription. An override that is None inherits the system's
    value.
    """

    id: int
    project_id: str
    tenant_id: int | None
    tenant_name: str | None
    tenant_slug: str | None
    subscription_state: str | None
    name: str
    client_name: str | None
    description: str | None
    custom_instructions: str | None
    is_active: bool
    priority: str
    provider_override: str | None
    model_override: str | None
    temperature_override: float | None
    max_tokens_override: int | None
    monthly_budget_override: int | None
    activation_code_id: int | None
    execution_status: str
    run_id: int | None
    show_completion_modal: bool
    version: int
    created_at: datetime
    updated_at: datetime
    agent_prompts: tuple[AgentPrompt, ...] = ()

    @property
    def shown_name(self) -> str:
        """The client's name for it, or else its own."""
        return self.client_name or self.name

    @property
    def shown_description(self) -> str | None:
        """The description, or else the objectives."""
        return self.description or self.custom_instructions


async def own_project(ctx: Context, project_id: str) -> Project:
    """The project of the tenant whose session asks; raises ProjectNotFoundError."""
    async with ctx.read() as conn:
        return await own_project_on(conn, ctx, project_id)


async def own_project_on(conn: ReadConnection, ctx: Context, project_id: str) -> Project:
    """The project of the tenant whose session asks, as this connection sees it; raises ProjectNotFoundError."""
    key = {"tenant_id": ctx.tenant_id, "project_id": project_id}
    return await _whole(conn, await conn.maybe(statements.project_of_tenant, Project, **key), project_id)


async def any_project(ctx: Context, project_id: str) -> Project:
    """The project of any tenant or of none; raises ProjectNotFoundError."""
    async with ctx.read() as conn:
        return await any_project_on(conn, project_id)


async def any_project_on(conn: ReadConnection, project_id: str) -> Project:
    """The project of any tenant or of none, as this connection sees it; raises ProjectNotFoundError."""
    found = await conn.maybe(statements.project_of_anyone, Project, project_id=project_id)
    return await _whole(conn, found, project_id)


async def _whole(conn: ReadConnection, found: Project | None, project_id: str) -> Project:
    if found is None:
        raise ProjectNotFoundError(project_id=project_id)
    (project,) = await with_agent_prompts(conn, [found])
    return project


async def with_agent_prompts(conn: ReadConnection, projects: Sequence[Project]) -> list[Project]:
    """The projects with the settings of their agents, with one statement however many there are."""
    batch = as_batch([{"project_id": project.project_id} for project in projects])
    found = await conn.many(statements.agent_prompts, AgentPrompt, batch=batch)
    return _joined(projects, found)


def _joined(projects: Sequence[Project], prompts: Iterable[AgentPrompt]) -> list[Project]:
    by_project: defaultdict[str, list[AgentPrompt]] = defaultdict(list)
    for prompt in prompts:
        by_project[prompt.project_id].append(prompt)
    return [project._replace(agent_prompts=tuple(by_project[project.project_id])) for project in projects]
