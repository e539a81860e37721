"""Runs of a tenant's own projects: starting, cancelling and looking back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from app import errors
from app.access.callers import TENANT
from app.context import Context
from app.contract.camel import CAMEL
from app.services.projects.archive import MEDIA_TYPE
from app.services.runs import cancellation, download, history, start
from app.services.runs.start import StartedRun
from blueprints.tenant_api import api
from blueprints.web.downloads import Download
from blueprints.web.fields import RequestModel
from blueprints.web.project_fields import PROJECT_ID_IN_PATH
from blueprints.web.run_fields import Before, RunAnswer, TaskAnswer

START_ERRORS = (
    errors.ProjectNotFoundError,
    errors.TenantNotFoundError,
    errors.RunInProgressError,
    errors.ProjectCompletedError,
    errors.NoSubscriptionError,
    errors.SubscriptionInactiveError,
    errors.ProjectWithoutCodeError,
    errors.ProjectWithoutTenantError,
    errors.ProjectIncompleteError,
    errors.TrialRunLimitError,
    errors.QuotaExceededError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run that has started."""

    success: bool = True
    message: str
    execution_id: Annotated[int, Field(description="The run's id.")]
    status: Literal["running"] = "running"
    output_folder_path: Annotated[None, Field(description="Always null: download what the run has made.")] = None

    @classmethod
    def of(cls, run: StartedRun) -> RunStarted:
        """The answer about a run that has started."""
        return cls(message=f"The run of {run.project_id} has started.", execution_id=run.run_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled:
    """A run that was cancelled."""

    success: bool = True
    message: str
    execution_id: Annotated[int, Field(description="The run's id.")]
    status: Literal["cancelled"] = "cancelled"


class RunsQuery(RequestModel):
    """Which page."""

    before: Before = None
    page_size: Annotated[int, Field(ge=1, le=100, description="Runs a page.")] = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsAnswer:
    """A page of a project's runs, newest first; `before` is where the next one goes on."""

    __pydantic_config__ = CAMEL
    runs: list[RunAnswer]
    before: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWithTasks(RunAnswer):
    """A run with its tasks, in the order in which they were planned."""

    __pydantic_config__ = CAMEL
    tasks: list[TaskAnswer]


@api.operation(
    "POST",
    "/projects/{project_id}/run",
    caller=TENANT,
    answers=RunStarted,
    errors=START_ERRORS,
    path_parameters=PROJECT_ID_IN_PATH,
    creates=True,
)
async def run_own_project(ctx: Context, project_id: str) -> RunStarted:
    """Start a run of a project.

    It needs an active subscription, or a trial in which nothing else runs; an activation code; a description and
    objectives. One run of the month's quota is reserved, and counts once the first task starts.
    """
    return RunStarted.of(await start.start_own_run(ctx, project_id))


@api.operation(
    "POST",
    "/projects/{project_id}/restart",
    caller=TENANT,
    answers=RunStarted,
    errors=(errors.RestartRefusedError, *START_ERRORS),
    path_parameters=PROJECT_ID_IN_PATH,
    creates=True,
)
async def restart_own_project(ctx: Context, project_id: str) -> RunStarted:
    """Run a project again whose run has failed or was cancelled; it is another run of the quota."""
    return RunStarted.of(await start.start_own_run(ctx, project_id, is_restart=True))


@api.operation(
    "POST",
    "/projects/{project_id}/cancel",
    caller=TENANT,
    answers=RunCancelled,
    errors=(errors.NothingRunsError, errors.ProjectNotFoundError),
    path_parameters=PROJECT_ID_IN_PATH,
)
async def cancel_own_run(ctx: Context, project_id: str) -> RunCancelled:
    """Cancel the run of a project; it counts only if its first task has started."""
    run_id = await cancellation.cancel_own_run(ctx, project_id)
    return RunCancelled(message=f"The run of {project_id} was cancelled.", execution_id=run_id)


@api.operation(
    "GET",
    "/projects/{project_id}/runs",
    caller=TENANT,
    query=RunsQuery,
    answers=RunsAnswer,
    errors=(errors.ProjectNotFoundError,),
    path_parameters=PROJECT_ID_IN_PATH,
)
async def own_runs(ctx: Context, query: RunsQuery, project_id: str) -> RunsAnswer:
    """List the runs of a project, newest first."""
    page = await history.own_runs(ctx, project_id, before=query.before, page_size=query.page_size)
    return RunsAnswer(runs=[RunAnswer.of(run) for run in page.runs], before=page.before)


@api.operation(
    "GET",
    "/projects/{project_id}/runs/{run_id:int}",
    caller=TENANT,
    answers=RunWithTasks,
    errors=(errors.RunNotFoundError, errors.ProjectNotFoundError),
    path_parameters={**PROJECT_ID_IN_PATH, "run_id": "The run's id."},
)
async def own_run(ctx: Context, project_id: str, run_id: int) -> RunWithTasks:
    """A run of a project, with its tasks."""
    found = await history.own_run(ctx, project_id, run_id)
    return RunWithTasks.of(found.run, tasks=[TaskAnswer.of(task) for task in found.tasks])


@api.operation(
    "GET",
    "/projects/{project_id}/download",
    caller=TENANT,
    answers=MEDIA_TYPE,
    errors=(
        errors.DownloadRefusedError,
        errors.DownloadGoneError,
        errors.FilesUnavailableError,
        errors.ProjectNotFoundError,
    ),
    path_parameters=PROJECT_ID_IN_PATH,
)
async def download_own_project(ctx: Context, project_id: str) -> Download:
    """Download what the newest run of a project has made, as a zip.

    The run must be completed. Logs, hidden folders, environments, databases and temporary files are left out.
    """
    archive = await download.own_download(ctx, project_id)
    return Download(MEDIA_TYPE, archive.file_name, archive.parts, archive.size)
