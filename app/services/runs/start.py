"""Starting a run: what is scarce is decided in one transaction, and an errand begins with its first task."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import NamedTuple

import orjson

from app.agents.work import FIRST_TASK
from app.context import Context
from app.database.connections import WriteConnection
from app.errors import (
    ProjectCompletedError,
    ProjectNotFoundError,
    ProjectWithoutTenantError,
    RestartRefusedError,
    RunInProgressError,
    TrialRunLimitError,
)
from app.events import Event, EventType, record
from app.services.billing.allowance import Standing
from app.services.billing.clock import billing_now
from app.services.directory.lookup import lock_tenant
from app.services.ledger.accounts import account_ids, run_account
from app.services.ledger.run_quota import reserve_run
from app.services.projects.details import Project, any_project, own_project
from app.services.projects.rules import may_run
from app.services.runs.moves import NewTask, RunMove, after_move
from app.services.runs.records import Run
from app.telemetry import metrics
from sql.statements import billing
from sql.statements import projects as project_statements
from sql.statements import runs as statements

_RESTART_INSTEAD = {
    "pending": "Run it.",
    "running": "Wait until it has ended, or cancel it.",
    "completed": "Download what it has made, or create another project.",
    "paused": "Run it.",
}


class StartedRun(NamedTuple):
    """A run that has been started."""

    run_id: int
    project_id: str


async def start_own_run(ctx: Context, project_id: str, *, is_restart: bool = False) -> StartedRun:
    """Start a run of a project of the tenant whose session asks; raises as ``start_run``."""
    return await _start(ctx, await own_project(ctx, project_id), is_restart=is_restart)


async def start_run(ctx: Context, project_id: str, *, is_restart: bool = False) -> StartedRun:
    """Start a run of any tenant's project; with ``is_restart`` only after one that has failed.

    Raises ProjectNotFoundError, RunInProgressError, ProjectCompletedError, RestartRefusedError, what ``may_run`` says,
    TrialRunLimitError, QuotaExceededError. What it refuses changes nothing.
    """
    return await _start(ctx, await any_project(ctx, project_id), is_restart=is_restart)


async def _start(ctx: Context, found: Project, *, is_restart: bool) -> StartedRun:
    if found.tenant_id is None or found.tenant_slug is None:
        raise ProjectWithoutTenantError
    # In a transaction of its own, before: the account's row must be there when it is locked.
    at_billing = await billing_now(ctx)
    (account_id,) = await account_ids(ctx, [run_account(found.tenant_id, ctx.month().first_day)])
    async with ctx.write() as conn:
        # Two starts of a tenant in trial would both see that nothing runs.
        await lock_tenant(conn, found.tenant_slug)
        project = await _judged(conn, found.tenant_id, found.project_id, at_billing, is_restart=is_restart)
        move = await _begin(conn, ctx, project, account_id)
        if is_restart:
            key = {"of_tenant_id": found.tenant_id, "of_id": project.id}
            await conn.affected(statements.show_modal_again, **key)
        title = f"Run of {project.name} started"
        event = Event(
            EventType.RUN_STARTED,
            title,
            tenant_id=project.tenant_id,
            project_id=project.project_id,
            metadata={"run_id": move.run.id},
        )
        await record(conn, ctx, event)
    after_move(ctx, found.tenant_id, move.run.id, move.ready)
    metrics.runs_started.inc()
    return StartedRun(move.run.id, found.project_id)


async def _judged(
    conn: WriteConnection, tenant_id: int, project_id: str, at_billing: datetime, *, is_restart: bool
) -> Project:
    """The project, locked, if it may be run now."""
    key = {"tenant_id": tenant_id, "project_id": project_id}
    project = await conn.maybe(project_statements.project_of_tenant_locked, Project, **key)
    if project is None:
        raise ProjectNotFoundError(project_id=project_id)
    status = project.execution_status
    if is_restart and status != "failed":
        raise RestartRefusedError(status=status, way_out=_RESTART_INSTEAD[status])
    if status == "running":
        raise RunInProgressError(project_id=project_id)
    if status == "completed":
        raise ProjectCompletedError(project_id=project_id)
    standing = await conn.maybe(billing.standing, Standing, tenant_id=tenant_id) or Standing(None)
    may_run(project, standing, at_billing).enforce()
    if standing.state == "trialing":
        is_running = await conn.one(statements.other_run_of_tenant, int, tenant_id=tenant_id)
        if is_running:
            raise TrialRunLimitError
    return project


async def _begin(conn: WriteConnection, ctx: Context, project: Project, account_id: int) -> RunMove:
    """Reserve the run of the tenant's quota, and write the run with its first task and its first events."""
    tenant_id, now = project.tenant_id, ctx.now()
    if tenant_id is None:
        raise ProjectWithoutTenantError
    reservation_id = await reserve_run(conn, ctx, tenant_id, account_id, uuid.uuid4().hex)
    brief = {
        "project_id": project.project_id,
        "name": project.name,
        "client_name": project.shown_name,
        "description": project.shown_description or "",
        "objectives": project.custom_instructions or "",
    }
    run_id = await conn.one(
        statements.insert_run,
        int,
        tenant_id=tenant_id,
        project_number=project.id,
        state="running",
        brief=orjson.dumps(brief).decode(),
        started_by=ctx.actor.name,
        reservation_id=reservation_id,
        started_at=now,
        moved_at=now,
    )
    await conn.affected(statements.insert_folder, run_id=run_id, created_at=now)
    key = {"of_tenant_id": tenant_id, "of_id": project.id}
    if not await conn.affected(statements.set_project_running, **key, new_run_id=run_id):
        raise RunInProgressError(project_id=project.project_id)
    run = await conn.one(statements.run_locked, Run, tenant_id=tenant_id, run_id=run_id)
    move = RunMove(conn, ctx, run)
    move.tell("run_started", f"{ctx.actor.name} has started the run.")
    first = FIRST_TASK
    await move.add_tasks(
        [NewTask(first.key, first.agent_type, first.name, first.description, first.priority, first.needs)]
    )
    await move.follow()
    await move.write()
    return move
