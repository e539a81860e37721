"""What the bench of GraphQL asks about: tenants with fifty projects each, of twenty tasks, and sessions of theirs."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, insert, select, update

from app.context import Context
from app.runtime import Runtime
from app.services.runs.task_changes import change_task
from bench.seeding import Fleet
from sql.tables import agent_tasks, projects, runs, tenant_sessions
from sql.tables.llm import AGENT_TYPES

TENANTS = 20
PROJECTS = 50
TASKS = 20
# Of the tasks of a run that goes on, and of one that has ended.
STATUSES = {
    "running": ["pending", "running", "completed", "failed"] * 5,
    "completed": ["completed", "completed", "failed", "cancelled"] * 5,
}


class Asking(NamedTuple):
    """A tenant that asks: its session, and the ids of its projects."""

    tenant_id: int
    token: str
    project_ids: list[str]


async def seed_runs(fleet: Fleet, *, go_on: bool = False) -> list[Asking]:
    """Store the projects with a run and its tasks each, and the sessions; what has ended nobody works on."""
    runtime = fleet.runtime
    asking = []
    for tenant in fleet.tenants[:TENANTS]:
        ids = [f"{tenant.slug}-shop-{number:02}" for number in range(PROJECTS)]
        await _store(runtime, tenant.id, ids, go_on=go_on)
        asking.append(Asking(tenant.id, await signed_in(runtime, tenant.id), ids))
    return asking


async def signed_in(runtime: Runtime, tenant_id: int) -> str:
    """The token of a new session of a tenant."""
    token, now = secrets.token_urlsafe(32), runtime.clock.now()
    row = {
        "tenant_id": tenant_id,
        "token_hash": runtime.keys.token_hash("tenant session", token),
        "last_activity": now,
        "expires_at": now + timedelta(days=1),
        "created_at": now,
    }
    async with runtime.db.write() as conn:
        await conn.insert_all(insert(tenant_sessions), [row])
    return token


async def change_one_task(ctx: Context, asking: Sequence[Asking]) -> None:
    """Have one open task of each tenant fail, as an operator would."""
    open_task = select(func.min(agent_tasks.c.id)).where(
        agent_tasks.c.tenant_id == bindparam("tenant_id"), agent_tasks.c.status == "pending"
    )
    for one in asking:
        async with ctx.read() as conn:
            task_id = await conn.one(open_task, int, tenant_id=one.tenant_id)
        await change_task(ctx, task_id, status="failed", error="the bench has changed it")


async def _store(runtime: Runtime, tenant_id: int, ids: Sequence[str], *, go_on: bool) -> None:
    now = runtime.clock.now()
    state = "running" if go_on else "completed"
    async with runtime.db.write() as conn:
        made = [
            _project(tenant_id, project_id, state, now - timedelta(hours=number))
            for number, project_id in enumerate(ids)
        ]
        await conn.insert_all(insert(projects), made)
        numbers = await conn.many(select(projects.c.id).where(projects.c.tenant_id == tenant_id), int)
        figures = {f"{status}_tasks": STATUSES[state].count(status) for status in ("completed", "failed", "cancelled")}
        begun = {"state": state, "brief": "{}", "started_by": "bench", "reservation_id": 0, "total_tasks": TASKS}
        at = {"started_at": now, "moved_at": now, "ended_at": None if go_on else now, **figures}
        of = [{"tenant_id": tenant_id, "project_number": number, **begun, **at} for number in numbers]
        await conn.insert_all(insert(runs), of)
        run_ids = await conn.many(select(runs.c.id).where(runs.c.tenant_id == tenant_id), int)
        newest = select(runs.c.id).where(runs.c.project_number == projects.c.id).scalar_subquery()
        await conn.affected(update(projects).where(projects.c.tenant_id == tenant_id).values(run_id=newest))
        rows = [
            _task(tenant_id, run_id, number, status, now)
            for run_id in run_ids
            for number, status in enumerate(STATUSES[state])
        ]
        await conn.insert_all(insert(agent_tasks), rows)


def _project(tenant_id: int, project_id: str, state: str, at: datetime) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "tenant_id": tenant_id,
        "name": project_id.replace("-", " ").title(),
        "description": "A shop with a catalogue, a basket and a checkout.",
        "custom_instructions": "Sell hats in three sizes; show what is left in stock.",
        "execution_status": state,
        "created_at": at,
        "updated_at": at,
        "created_by": "bench",
    }


def _task(tenant_id: int, run_id: int, number: int, status: str, now: datetime) -> dict[str, Any]:
    has_ended = status not in {"pending", "running"}
    began = now - timedelta(minutes=TASKS - number)
    return {
        "tenant_id": tenant_id,
        "run_id": run_id,
        "key": f"task-{number}",
        "agent_type": AGENT_TYPES[number % len(AGENT_TYPES)],
        "name": f"Build part {number}",
        "description": "What the part is to do, in a sentence that is as long as they usually are.",
        "priority": 1 + number % 3,
        "needs": "[]",
        "status": status,
        "created_at": began,
        "started_at": None if status == "pending" else began,
        "ended_at": began + timedelta(seconds=42) if has_ended else None,
        "error": "no tests" if status == "failed" else None,
    }
