"""Runs of all tenants, for operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import CAMEL
from app.services.runs import cancellation, history
from app.services.runs.states import RunState
from blueprints.admin_api import api
from blueprints.web.fields import RequestModel, TenantSlug
from blueprints.web.run_fields import Before, RunAnswer


class RunsQuery(RequestModel):
    """Which runs."""

    state: Annotated[RunState | None, Field(description="Those in this state.")] = None
    tenant_slug: Annotated[TenantSlug | None, Field(description="Those of this tenant.")] = None
    before: Before = None
    page_size: Annotated[int, Field(ge=1, le=200, description="Runs a page.")] = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRun(RunAnswer):
    """A run of a tenant's project."""

    __pydantic_config__ = CAMEL
    tenant_slug: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """A page of runs, newest first; `before` is where the next one goes on."""

    __pydantic_config__ = CAMEL
    runs: list[ListedRun]
    before: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """A run that was cancelled."""

    __pydantic_config__ = CAMEL
    id: int
    project_id: str
    state: Literal["cancelled"] = "cancelled"


@api.operation(
    "GET",
    "/runs",
    caller=operator(Permission.RUNS_READ),
    query=RunsQuery,
    answers=RunPage,
    errors=(errors.TenantNotFoundError,),
)
async def runs(ctx: Context, query: RunsQuery) -> RunPage:
    """List the runs of all tenants or of one, newest first."""
    page = await history.list_runs(
        ctx, state=query.state, tenant_slug=query.tenant_slug, before=query.before, page_size=query.page_size
    )
    listed = [ListedRun.of(each.run, tenant_slug=each.tenant_slug) for each in page.runs]
    return RunPage(runs=listed, before=page.before)


@api.operation(
    "POST",
    "/runs/{run_id:int}/cancel",
    caller=operator(Permission.RUNS_WRITE),
    answers=RunEnded,
    errors=(errors.UnknownRunError, errors.NothingRunsError),
    path_parameters={"run_id": "The run's id."},
)
async def cancel_run(ctx: Context, run_id: int) -> RunEnded:
    """Cancel a run; whoever works on one of its tasks stops within seconds."""
    return RunEnded(id=run_id, project_id=await cancellation.cancel_run_by_id(ctx, run_id))
