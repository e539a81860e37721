"""A tenant's own projects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AliasChoices, BeforeValidator, Field

from app import errors
from app.access.callers import TENANT
from app.context import Context
from app.contract.api_document import LARGE_BODY
from app.contract.camel import CAMEL
from app.services.projects import changes, codes, creation, deletion, details, project_list
from app.services.projects.rules import MAX_NAME
from blueprints.tenant_api import api
from blueprints.web.fields import IS_NAME, NO_NUL, CamelChanges, CamelRequest, PageNumber, RequestModel, trimmed
from blueprints.web.project_fields import (
    PROJECT_ID_IN_PATH,
    ClientName,
    Description,
    Instructions,
    ProjectAnswer,
    ProjectPager,
    Search,
    pager,
)

Name = Annotated[str, BeforeValidator(trimmed), Field(min_length=1, max_length=MAX_NAME, pattern=NO_NUL), IS_NAME]
ERRORS = (errors.ProjectNotFoundError,)


class ProjectQuery(RequestModel):
    """Which projects."""

    page: PageNumber = 1
    page_size: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            validation_alias=AliasChoices("page_size", "pageSize"),
            description="Projects a page; `pageSize` means the same.",
        ),
    ] = 20
    search: Search = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectPage(ProjectPager):
    """A page of the tenant's projects."""

    __pydantic_config__ = CAMEL
    items: list[ProjectAnswer]


class ProjectCreate(CamelRequest):
    """A new project; a description and objectives are needed too."""

    name: Name
    client_name: ClientName = None
    description: Description = None
    objectives: Instructions = None


class ProjectChanges(CamelChanges):
    """What a tenant may change of a project; what is absent stays as it is."""

    name: Name = ""
    client_name: ClientName = None
    description: Description = None
    custom_instructions: Instructions = None
    is_active: bool = True


class CodeAssignment(CamelRequest):
    """A code to assign."""

    activation_code: Annotated[
        str, Field(min_length=1, max_length=100, pattern=NO_NUL, description="Case, spaces and dashes do not matter.")
    ]


class ModalPreference(RequestModel):
    """What is preferred."""

    show_modal: Annotated[bool, Field(description="Whether the dialog is shown.")] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalPreferenceSet:
    """What is preferred from now on."""

    success: bool = True
    project_id: str
    show_completion_modal: bool
    message: str


@api.operation("GET", "/projects", caller=TENANT, query=ProjectQuery, answers=ProjectPage)
async def own_projects(ctx: Context, query: ProjectQuery) -> ProjectPage:
    """List the tenant's projects, newest first.

    The total is exact up to 10,000.
    """
    listed = await project_list.list_projects(
        ctx, tenant_id=ctx.tenant_id, search=query.search, page=query.page, page_size=query.page_size
    )
    items = [ProjectAnswer.of(project) for project in listed.rows]
    return ProjectPage(items=items, **pager(listed.total, query.page, query.page_size))


@api.operation(
    "POST",
    "/projects",
    caller=TENANT,
    status=201,
    body=ProjectCreate,
    max_body=LARGE_BODY,
    answers=ProjectAnswer,
    errors=(
        errors.ProjectIncompleteError,
        errors.NoSubscriptionError,
        errors.SubscriptionInactiveError,
        errors.TrialProjectLimitError,
        errors.TenantNotFoundError,
    ),
    creates=True,
)
async def create_own_project(ctx: Context, body: ProjectCreate) -> ProjectAnswer:
    """Create a project; its id is made from its name and never changes.

    The subscription must be active, or trialing for a first project.
    """
    project = await creation.create_project(
        ctx,
        name=body.name,
        client_name=body.client_name,
        description=body.description,
        objectives=body.objectives,
    )
    return ProjectAnswer.of(project)


@api.operation(
    "GET",
    "/projects/{project_id}",
    caller=TENANT,
    answers=ProjectAnswer,
    errors=ERRORS,
    path_parameters=PROJECT_ID_IN_PATH,
)
async def own_project(ctx: Context, project_id: str) -> ProjectAnswer:
    """One of the tenant's projects."""
    return ProjectAnswer.of(await details.own_project(ctx, project_id))


@api.operation(
    "PUT",
    "/projects/{project_id}",
    caller=TENANT,
    body=ProjectChanges,
    max_body=LARGE_BODY,
    answers=ProjectAnswer,
    errors=ERRORS,
    path_parameters=PROJECT_ID_IN_PATH,
)
async def update_own_project(ctx: Context, body: ProjectChanges, project_id: str) -> ProjectAnswer:
    """Change a project's names, description, objectives, or whether it is active.

    What is absent stays as it is. Models, budgets and priority are the operator's.
    """
    return ProjectAnswer.of(await changes.update_own_project(ctx, project_id, body.changes()))


@api.operation(
    "DELETE",
    "/projects/{project_id}",
    caller=TENANT,
    status=204,
    answers=None,
    errors=(errors.ProjectRunningError, *ERRORS),
    path_parameters=PROJECT_ID_IN_PATH,
)
async def delete_own_project(ctx: Context, project_id: str) -> None:
    """Delete a project for good; the use of its activation code stays used."""
    await deletion.delete_own_project(ctx, project_id)


@api.operation(
    "PATCH",
    "/projects/{project_id}/completion-modal-preference",
    caller=TENANT,
    query=ModalPreference,
    answers=ModalPreferenceSet,
    errors=ERRORS,
    path_parameters=PROJECT_ID_IN_PATH,
)
async def prefer_completion_modal(ctx: Context, query: ModalPreference, project_id: str) -> ModalPreferenceSet:
    """Say whether a dialog tells that a run of the project has ended."""
    await changes.show_completion_modal(ctx, project_id, is_shown=query.show_modal)
    message = f"The dialog is {'shown' if query.show_modal else 'not shown'} when a run ends."
    return ModalPreferenceSet(project_id=project_id, show_completion_modal=query.show_modal, message=message)


@api.operation(
    "POST",
    "/projects/{project_id}/assign-activation-code",
    caller=TENANT,
    body=CodeAssignment,
    answers=ProjectAnswer,
    errors=(
        errors.ProjectHasCodeError,
        errors.CodeUnknownError,
        errors.CodeRevokedError,
        errors.CodeExpiredError,
        errors.CodeUsedUpError,
        *ERRORS,
    ),
    path_parameters=PROJECT_ID_IN_PATH,
)
async def assign_activation_code(ctx: Context, body: CodeAssignment, project_id: str) -> ProjectAnswer:
    """Give a project one of the tenant's activation codes, which takes a use of that.

    A project keeps its code.
    """
    return ProjectAnswer.of(await codes.assign_code(ctx, project_id, body.activation_code))
