"""Runs of projects, from the command line: starting and watching one, listing them, cancelling one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.text import Text

from app.commands.output import FAILED, answer, escape, table
from app.commands.parameters import AsJson, TenantSlug, read_id
from app.commands.session import operating
from app.context import Context
from app.services.runs import cancellation, history, start
from app.services.runs.records import ListedRun, ShownRun
from app.services.runs.run_events import RunEvent
from app.services.runs.states import RunState
from app.services.runs.watching import watch_run

ProjectId = Annotated[str, Parameter(help="The project's id, as list-projects shows it.")]
COLUMNS = ("run", "tenant", "project", "state", "tasks", "quality", "started (UTC)", "ended (UTC)", "why")
STYLES = {"completed": "green", "failed": "red", "cancelled": "yellow", "retried": "yellow"}


async def run_project(
    project: ProjectId,
    *,
    watch: Annotated[bool, Parameter(negative=(), help="Show what happens until the run has ended.")] = False,
    restart: Annotated[bool, Parameter(negative=(), help="Run a project again whose run has failed.")] = False,
    as_json: AsJson = False,
) -> int:
    """Start a run of a project; its tasks are done by a server or by portal work.

    With --watch the command ends when the run does, and fails if that was not completed.
    """
    async with operating() as ctx:
        started = await start.start_run(ctx, project, is_restart=restart)
        if not watch:
            result = {"run_id": started.run_id, "project_id": project, "state": "running"}
            answer(as_json, result, f"Run {started.run_id} of {escape(project)} has started.")
            return 0
        await _watch(ctx, project, started.run_id, is_silent=as_json)
        ended = (await history.run_of(ctx, project, started.run_id)).run
    answer(as_json, _members(ended), Text(f"Run {ended.id}: {ended.state}", style=STYLES.get(ended.state, "")))
    return 0 if ended.state == "completed" else FAILED


async def list_runs(
    *,
    tenant: Annotated[TenantSlug | None, Parameter(help="Only those of this tenant, by its slug.")] = None,
    state: Annotated[RunState | None, Parameter(help="Only those in this state.")] = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1000), help="How many, at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List runs of projects, newest first."""
    async with operating() as ctx:
        page = await history.list_runs(ctx, state=state, tenant_slug=tenant, page_size=limit)
    result = {"runs": [{"tenant": each.tenant_slug, **_members(each.run)} for each in page.runs]}
    nothing = "No such runs: start one with portal run PROJECT"
    answer(as_json, result, table(COLUMNS, map(_row, page.runs)) if page.runs else nothing)


async def cancel_run(
    run_id: Annotated[
        int, Parameter(name="RUN", converter=read_id, validator=validators.Number(gte=1), help="As list-runs shows it.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Cancel a run; whoever works on one of its tasks stops within seconds."""
    async with operating() as ctx:
        project_id = await cancellation.cancel_run_by_id(ctx, run_id)
    result = {"run_id": run_id, "project_id": project_id, "state": "cancelled"}
    answer(as_json, result, f"Run {run_id} of {escape(project_id)} was cancelled.")


async def _watch(ctx: Context, project_id: str, run_id: int, *, is_silent: bool) -> None:
    """Print what happens, until the run has ended."""
    watcher = await watch_run(ctx, project_id, run_id)
    try:
        while events := await watcher.next():
            if not is_silent:
                answer(False, {}, *map(_line, events))
    finally:
        watcher.close()


def _line(event: RunEvent) -> Text:
    run = event.shown["run"]
    line = Text(f"{event.created_at:%H:%M:%S}  {run['completionPercentage']:>3} %  ", style="dim")
    return line.append(event.message, style=STYLES.get(event.kind.rpartition("_")[2], "default"))


def _row(listed: ListedRun) -> tuple[object, ...]:
    run, figures = listed.run, listed.run.figures
    ended = run.ended_at and f"{run.ended_at:%Y-%m-%d %H:%M}"
    began = f"{run.started_at:%Y-%m-%d %H:%M}"
    tasks = f"{figures.completed} of {figures.total}"
    return (
        *(run.id, listed.tenant_slug, run.project_id, run.state, tasks, f"{figures.quality:g} %", began, ended),
        run.error,
    )


def _members(run: ShownRun) -> Mapping[str, Any]:
    figures = run.figures
    return {
        **run._asdict(),
        "completion_percentage": figures.completion,
        "quality_percentage": figures.quality,
    }
