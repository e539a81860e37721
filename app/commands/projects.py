"""Projects, from the command line."""

from __future__ import annotations

from functools import partial

from app.commands.output import answer, table
from app.commands.pages import all_rows
from app.commands.parameters import AsJson, TenantSlug
from app.commands.session import operating
from app.context import Context
from app.services.directory.lookup import tenant_named
from app.services.figures.totals import Page
from app.services.projects import project_list
from app.services.projects.details import Project

# What is printed with --json.
MEMBERS = (
    "project_id",
    "name",
    "client_name",
    "description",
    "custom_instructions",
    "is_active",
    "priority",
    "execution_status",
    "activation_code_id",
    "version",
    "created_at",
    "updated_at",
)


async def list_projects(*, tenant: TenantSlug, as_json: AsJson = False) -> None:
    """List a tenant's projects, newest first."""
    async with operating() as ctx:
        found = await tenant_named(ctx, tenant)
        projects = await all_rows(partial(_page, ctx, found.id))
    columns = ("project", "status", "active", "code", "created (UTC)", "name")
    rows = [
        (
            project.project_id,
            project.execution_status,
            "yes" if project.is_active else "no",
            project.activation_code_id,
            f"{project.created_at:%Y-%m-%d %H:%M}",
            project.shown_name,
        )
        for project in projects
    ]
    output = table(columns, rows) if rows else f"No projects yet: {tenant} creates them in its own front end"
    result = {"projects": [{name: getattr(project, name) for name in MEMBERS} for project in projects]}
    answer(as_json, result, output)


async def _page(ctx: Context, tenant_id: int, number: int, size: int) -> Page[Project]:
    return await project_list.list_projects(ctx, tenant_id=tenant_id, page=number, page_size=size)
