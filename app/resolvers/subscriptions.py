"""Subscriptions: what each is told; each of what it is told is then answered as any other object."""

from __future__ import annotations

from typing import Any, Final

from ariadne import SubscriptionType

from app.resolvers.context import Info
from app.services.progress.records import Activity, ProjectProgress, TaskProgress
from app.services.progress.samples import Samples, metrics_stream
from app.services.progress.updates import Updates, agent_activity, project_updates, task_updates

subscription = SubscriptionType()


async def follow_agents(
    _: Any, info: Info, *, agent_type: str | None, project_id: str | None, after: str | None
) -> Updates[Activity]:
    """What agents do."""
    return await agent_activity(info.context.ctx, agent_type=agent_type, project_id=project_id, after=after)


async def follow_tasks(_: Any, info: Info, *, project_id: str | None, after: str | None) -> Updates[TaskProgress]:
    """Tasks as they change."""
    return await task_updates(info.context.ctx, project_id=project_id, after=after)


async def follow_project(_: Any, info: Info, *, project_id: str, after: str | None) -> Updates[ProjectProgress]:
    """A project as it gets on."""
    return await project_updates(info.context.ctx, project_id=project_id, after=after)


async def measure(_: Any, info: Info, *, interval_seconds: int, project_id: str | None, after: str | None) -> Samples:
    """How it all gets on, again and again."""
    return await metrics_stream(info.context.ctx, interval_seconds=interval_seconds, project_id=project_id, after=after)


def resolve_told(told: Any, info: Info, **arguments: Any) -> Any:
    """What the subscription has just been told."""
    return told


# The library's types know sources only as generators, and an awaitable one is what refuses before anything is told.
SOURCES: Final[dict[str, Any]] = {
    "agentActivity": follow_agents,
    "taskUpdates": follow_tasks,
    "projectUpdates": follow_project,
    "systemMetricsStream": measure,
}
for name, source in SOURCES.items():
    subscription.set_source(name, source)
    subscription.set_field(name, resolve_told)
