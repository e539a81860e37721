"""Projects of all tenants and of none, for operators: listing, creating, changing and deleting them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.api_document import LARGE_BODY
from app.contract.camel import CAMEL
from app.errors.verdict import Verdict
from app.money import MAX_USD, to_nanos
from app.services.projects import changes, creation, deletion, details, project_list
from app.services.projects.denials import run_verdicts
from app.services.projects.details import Project
from app.services.projects.rules import PROJECT_ID
from blueprints.llm_management import api
from blueprints.web.fields import NO_NUL, CamelChanges, CamelRequest, PageNumber, RequestModel, blank_is_null
from blueprints.web.project_fields import (
    PROJECT_ID_IN_PATH,
    ClientName,
    Description,
    Instructions,
    ProjectAnswer,
    ProjectPager,
    RequiredClientName,
    Search,
    pager,
)
from blueprints.web.versions import Versioned
from sql.tables.projects import MAX_PROJECT_ID

INHERITED = "Null inherits the system's."
Provider = Literal["gemini", "openai", "anthropic"]
Priority = Literal["low", "normal", "high", "critical"]
ModelName = Annotated[str, Field(max_length=100, pattern=NO_NUL)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
MaxTokens = Annotated[int, Field(ge=64, le=8192)]
ERRORS = (errors.ProjectNotFoundError,)


def _as_nanos(usd: object) -> object:
    """A number of USD as it is stored."""
    if usd is None:
        return None
    if isinstance(usd, bool) or not isinstance(usd, int | float):
        raise ValueError("must be a number")  # noqa: TRY004 - what pydantic reports
    return to_nanos(Decimal(str(usd)))


Budget = Annotated[
    int | None,
    BeforeValidator(_as_nanos),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": MAX_USD}, {"type": "null"}]}),
    Field(description=f"In USD a month, with at most nine decimals. {INHERITED}"),
]


class AnyProjectQuery(RequestModel):
    """Which projects."""

    page: PageNumber = 1
    page_size: Annotated[int, Field(ge=1, le=100, description="Projects a page.")] = 10
    search: Search = ""


class AnyProjectCreate(CamelRequest):
    """A new project of no tenant."""

    project_id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_PROJECT_ID,
            pattern=PROJECT_ID,
            description="Letters, digits, `-`, `_` and `.`; it never changes.",
        ),
    ]
    client_name: RequiredClientName
    description: Description = None
    custom_instructions: Instructions = None
    is_active: bool = True
    priority: Priority = "normal"


class AnyProjectChanges(CamelChanges):
    """What changes of a project; what is absent stays as it is."""

    client_name: ClientName = None
    description: Description = None
    custom_instructions: Instructions = None
    is_active: bool = True
    priority: Priority = "normal"
    provider_override: Annotated[Provider | None, Field(description=INHERITED)] = None
    model_override: Annotated[
        ModelName | None, BeforeValidator(blank_is_null), Field(description=f"{INHERITED} So does a blank.")
    ] = None
    temperature_override: Annotated[Temperature | None, Field(description=INHERITED)] = None
    max_tokens_override: Annotated[MaxTokens | None, Field(description=INHERITED)] = None
    monthly_budget_override: Budget = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDenial:
    """Why a project cannot be run."""

    __pydantic_config__ = CAMEL
    error_code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyProjectAnswer(ProjectAnswer):
    """A project as operators see it."""

    __pydantic_config__ = CAMEL
    run_denial: Annotated[RunDenial | None, Field(description="Why it cannot be run; null where it can.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyProjectPage(ProjectPager):
    """A page of projects."""

    __pydantic_config__ = CAMEL
    items: list[AnyProjectAnswer]


async def _answers(ctx: Context, projects: Sequence[Project]) -> list[AnyProjectAnswer]:
    verdicts = await run_verdicts(ctx, projects)
    return [
        AnyProjectAnswer.of(project, run_denial=_denial(verdict))
        for project, verdict in zip(projects, verdicts, strict=True)
    ]


def _denial(verdict: Verdict) -> RunDenial | None:
    if verdict.denial is None:
        return None
    denial = verdict.denial(**verdict.values)
    return RunDenial(error_code=denial.code, message=denial.detail)


@api.operation(
    "GET",
    "/projects",
    caller=operator(Permission.PROJECTS_READ),
    query=AnyProjectQuery,
    answers=AnyProjectPage,
)
async def projects(ctx: Context, query: AnyProjectQuery) -> AnyProjectPage:
    """List the projects of all tenants and of none, newest first.

    The total is exact for all projects, and for a search up to 10,000.
    """
    listed = await project_list.list_projects(ctx, search=query.search, page=query.page, page_size=query.page_size)
    items = await _answers(ctx, listed.rows)
    return AnyProjectPage(items=items, **pager(listed.total, query.page, query.page_size))


@api.operation(
    "POST",
    "/projects",
    caller=operator(Permission.PROJECTS_WRITE),
    status=201,
    body=AnyProjectCreate,
    max_body=LARGE_BODY,
    answers=AnyProjectAnswer,
    errors=(errors.ProjectConflictError,),
    creates=True,
)
async def create_project(ctx: Context, body: AnyProjectCreate) -> AnyProjectAnswer:
    """Create a project of no tenant: it can be configured and never run."""
    project = await creation.create_any_project(
        ctx,
        project_id=body.project_id,
        client_name=body.client_name,
        description=body.description,
        custom_instructions=body.custom_instructions,
        is_active=body.is_active,
        priority=body.priority,
    )
    return (await _answers(ctx, [project]))[0]


@api.operation(
    "GET",
    "/projects/{project_id}",
    caller=operator(Permission.PROJECTS_READ),
    answers=AnyProjectAnswer,
    errors=ERRORS,
    path_parameters=PROJECT_ID_IN_PATH,
    versioned=True,
)
async def project(ctx: Context, project_id: str) -> Versioned:
    """One project, with the settings of its agents and what keeps it from being run."""
    return await _versioned(ctx, await details.any_project(ctx, project_id))


@api.operation(
    "PUT",
    "/projects/{project_id}",
    caller=operator(Permission.PROJECTS_WRITE),
    body=AnyProjectChanges,
    max_body=LARGE_BODY,
    answers=AnyProjectAnswer,
    errors=(*ERRORS, errors.ModelPriceMissingError),
    path_parameters=PROJECT_ID_IN_PATH,
    versioned=True,
)
async def update_project(
    ctx: Context, body: AnyProjectChanges, versions: frozenset[int] | None, project_id: str
) -> Versioned:
    """Change a project; what is absent stays as it is, and null puts an override back to inherit.

    Each changed field is in the history. A change that changes nothing makes no version.
    """
    return await _versioned(ctx, await changes.update_any_project(ctx, project_id, body.changes(), versions))


@api.operation(
    "DELETE",
    "/projects/{project_id}",
    caller=operator(Permission.PROJECTS_DELETE),
    status=204,
    answers=None,
    errors=(errors.ProjectRunningError, *ERRORS),
    path_parameters=PROJECT_ID_IN_PATH,
)
async def delete_project(ctx: Context, project_id: str) -> None:
    """Delete a project with its settings and their history, for good."""
    await deletion.delete_any_project(ctx, project_id)


async def _versioned(ctx: Context, project: Project) -> Versioned:
    (answer,) = await _answers(ctx, [project])
    return Versioned(answer, project.version)
