"""Asking in GraphQL, and runs that are stored as they might be after a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from httpx2 import Response
from sqlalchemy import insert, select, update
from support.builders import Licensed
from support.live import LiveServer
from support.projects import created
from support.rows import change, rows

from sql.tables import agent_settings, agent_tasks, projects, runs

PATH = "/graphql"


async def post(live: LiveServer, headers: Mapping[str, str], query: str, **variables: Any) -> Response:
    """The answer to a document."""
    body = {"query": query, "variables": variables}
    return await live.http.post(PATH, headers=dict(headers), json=body)


async def data(live: LiveServer, headers: Mapping[str, str], query: str, **variables: Any) -> Any:
    """What a document answers that answers no errors."""
    answer = await post(live, headers, query, **variables)
    told = answer.json()
    assert (answer.status_code, told.get("errors")) == (200, None), answer.text
    return told["data"]


async def refusal(live: LiveServer, headers: Mapping[str, str], query: str, **variables: Any) -> Any:
    """The only error of a document."""
    (error,) = (await post(live, headers, query, **variables)).json()["errors"]
    return error


@dataclass(frozen=True)
class Stored:
    """A task as a test wants it: seconds are counted from the start of its run."""

    agent_type: str = "coder"
    status: str = "pending"
    created: float = 0
    started: float | None = None
    ended: float | None = None
    error: str | None = None


# A run as it may be after a minute.
TASKS = (
    Stored("orchestrator", "completed", 0, 0, 5),
    Stored("coder", "completed", 5, 10, 40),
    Stored("coder", "completed", 6, 10, 30.5),
    Stored("coder", "running", 7, 45),
    Stored("qa", "failed", 8, 9, 20, "no tests"),
    Stored("frontend", "pending", 9),
)


async def stored_project(live: LiveServer, tenant: Licensed, name: str = "Hat Shop", **more: Any) -> str:
    """The id of a new project of the tenant."""
    project_id: str = (await created(live, tenant, name, **more))["projectId"]
    return project_id


async def stored_run(
    live: LiveServer,
    project_id: str,
    tasks: Sequence[Stored],
    *,
    state: str = "running",
    started_at: datetime | None = None,
) -> list[int]:
    """Store a run as the project's newest one; the ids of its tasks, in their order."""
    ((number, tenant_id),) = await rows(
        live, select(projects.c.id, projects.c.tenant_id).where(projects.c.project_id == project_id)
    )
    began = started_at or live.ctx.now()
    counts = {
        f"{name}_tasks": sum(task.status == name for task in tasks) for name in ("completed", "failed", "cancelled")
    }
    ended_at = None if state == "running" else live.ctx.now()
    row = {"project_number": number, "state": state, "brief": "{}", "started_by": "tests", "reservation_id": 0}
    async with live.ctx.write() as conn:
        run_id = await conn.one(
            insert(runs).returning(runs.c.id),
            int,
            **row,
            **counts,
            tenant_id=tenant_id,
            total_tasks=len(tasks),
            started_at=began,
            moved_at=began,
            ended_at=ended_at,
        )
        status = {"running": "running", "completed": "completed"}.get(state, "failed")
        await conn.affected(
            update(projects).where(projects.c.id == number).values(run_id=run_id, execution_status=status)
        )
        return [
            await conn.one(
                insert(agent_tasks).returning(agent_tasks.c.id), int, **_row(task, place, began, tenant_id, run_id)
            )
            for place, task in enumerate(tasks)
        ]


def _row(task: Stored, place: int, began: datetime, tenant_id: int, run_id: int) -> dict[str, Any]:
    def moment(seconds: float | None) -> datetime | None:
        return None if seconds is None else began + timedelta(seconds=seconds)

    return {
        "tenant_id": tenant_id,
        "run_id": run_id,
        "key": f"t{place}",
        "agent_type": task.agent_type,
        "name": f"Task {place}",
        "description": "",
        "priority": 1,
        "needs": "[]",
        "status": task.status,
        "ready_at": moment(task.created),
        "created_at": moment(task.created),
        "started_at": moment(task.started),
        "ended_at": moment(task.ended),
        "error": task.error,
    }


async def configured(live: LiveServer, project_id: str, agent_type: str, *, enabled: bool = True) -> None:
    """Give a kind of agent settings of its own."""
    now = live.ctx.now()
    row = {"project_id": project_id, "agent_type": agent_type, "enabled": enabled, "created_at": now, "updated_at": now}
    await change(live, insert(agent_settings).values(**row))
