"""GraphQL: Strawberry on FastAPI, with the request's session of mapped classes and loaders of its own.

With what its makers offer for speed: documents are parsed and validated once, and answers are written by orjson.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from enum import Enum
from typing import Annotated

import orjson
import strawberry
from fastapi import Header
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, joinedload
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.fastapi import BaseContext, GraphQLRouter
from strawberry.types import Info as StrawberryInfo

from app.errors import SessionExpiredError, SessionInvalidError, SessionNotSentError
from bench.orm_design import run_models as models
from bench.orm_design.database import Session, runtime
from sql.tables.llm import AGENT_TYPES

# As many documents as the portal keeps.
KEPT = 500
MAX_LIMIT = 200
Of = tuple[int, int]


@strawberry.enum
class ProjectStatus(Enum):
    """Where a project stands."""

    PLANNING = "pending"
    IN_PROGRESS = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    ON_HOLD = "paused"


@strawberry.enum
class TaskStatus(Enum):
    """Where a task stands."""

    PENDING = "pending"
    IN_PROGRESS = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


AgentType = strawberry.enum(Enum("AgentType", {name.upper(): name for name in AGENT_TYPES}))


class Context(BaseContext):
    """Who asks, the request's session, and its loaders."""

    def __init__(self, session: AsyncSession, tenant_id: int) -> None:
        super().__init__()
        self.session = session
        self.tenant_id = tenant_id
        self.projects: DataLoader[str, models.Project | None] = DataLoader(self._load_projects)
        self.tasks: DataLoader[Of, list[models.AgentTask]] = DataLoader(self._load_tasks)

    async def _load_projects(self, project_ids: list[str]) -> list[models.Project | None]:
        asked = select(models.Project).where(
            models.Project.tenant_id == self.tenant_id, models.Project.project_id.in_(project_ids)
        )
        found = await self.session.scalars(asked.options(joinedload(models.Project.newest_run)))
        by_id = {project.project_id: project for project in found}
        return [by_id.get(project_id) for project_id in project_ids]

    async def _load_tasks(self, keys: list[Of]) -> list[list[models.AgentTask]]:
        """The newest tasks of projects, by the project's number and how many."""
        numbers, most = {number for number, _ in keys}, max(most for _, most in keys)
        rank = func.row_number().over(
            partition_by=models.Run.project_number,
            order_by=(models.AgentTask.created_at.desc(), models.AgentTask.id.desc()),
        )
        ranked = (
            select(models.AgentTask, models.Run.project_number, rank.label("rank"))
            .join(models.Run, models.Run.id == models.AgentTask.run_id)
            .where(models.AgentTask.tenant_id == self.tenant_id, models.Run.project_number.in_(numbers))
            .subquery()
        )
        task = aliased(models.AgentTask, ranked)
        asked = select(task, ranked.c.project_number).where(ranked.c.rank <= most).order_by(ranked.c.rank)
        found: defaultdict[int, list[models.AgentTask]] = defaultdict(list)
        for row, number in await self.session.execute(asked):
            found[number].append(row)
        return [found[number][:limit] for number, limit in keys]


Info = StrawberryInfo[Context, None]


@strawberry.type
class Task:
    """A piece of a run's work."""

    id: str
    title: str
    description: str | None
    status: TaskStatus
    agent_type: AgentType  # type: ignore[valid-type]
    priority: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    duration_seconds: int | None

    @classmethod
    def of(cls, row: models.AgentTask) -> Task:
        """A row as it is shown."""
        completed_at = row.ended_at if row.status == "completed" else None
        seconds = (completed_at - row.started_at).total_seconds() if completed_at and row.started_at else None
        return cls(
            id=str(row.id),
            title=row.name,
            description=row.description,
            status=TaskStatus(row.status),
            agent_type=AgentType(row.agent_type),
            priority=row.priority,
            created_at=row.created_at,
            started_at=row.started_at,
            completed_at=completed_at,
            error_message=row.error,
            duration_seconds=None if seconds is None else int(seconds),
        )


@strawberry.type
class Project:
    """What a tenant describes and lets agents build."""

    id: str
    name: str
    objective: str
    status: ProjectStatus
    created_at: datetime
    updated_at: datetime
    completion_percentage: float
    total_tasks: int
    completed_tasks: int
    failed_tasks: int
    number: strawberry.Private[int]

    @classmethod
    def of(cls, row: models.Project) -> Project:
        """A row with its newest run as it is shown."""
        run = row.newest_run
        total = run.total_tasks if run else 0
        ended = run.completed_tasks + run.failed_tasks if run else 0
        without = {"completed": 100.0, "running": 5.0}.get(row.execution_status, 0.0)
        return cls(
            id=row.project_id,
            name=row.client_name or row.name,
            objective=row.custom_instructions or row.description or "",
            status=ProjectStatus(row.execution_status),
            created_at=row.created_at,
            updated_at=row.updated_at,
            completion_percentage=float(round(100 * ended / total)) if total else without,
            total_tasks=total,
            completed_tasks=run.completed_tasks if run else 0,
            failed_tasks=run.failed_tasks if run else 0,
            number=row.id,
        )

    @strawberry.field
    async def tasks(self, info: Info, limit: int = 50) -> list[Task]:
        """Its tasks, the newest first."""
        found = await info.context.tasks.load((self.number, min(limit, MAX_LIMIT)))
        return [Task.of(row) for row in found]


@strawberry.type
class Query:
    """What may be asked."""

    @strawberry.field
    async def project(self, info: Info, id: str) -> Project | None:  # noqa: A002 - the argument's name
        """One project."""
        found = await info.context.projects.load(id)
        return None if found is None else Project.of(found)

    @strawberry.field
    async def projects(self, info: Info, limit: int = 20, offset: int = 0) -> list[Project]:
        """Projects, the newest first."""
        asked = (
            select(models.Project)
            .where(models.Project.tenant_id == info.context.tenant_id)
            .options(joinedload(models.Project.newest_run))
            .order_by(models.Project.created_at.desc(), models.Project.id.desc())
            .limit(min(limit, MAX_LIMIT))
            .offset(offset)
        )
        return [Project.of(row) for row in await info.context.session.scalars(asked)]


async def context_of(session: Session, x_session_token: Annotated[str | None, Header()] = None) -> Context:
    """Who asks, by the session that is shown."""
    if not x_session_token:
        raise SessionNotSentError
    token_hash = runtime.keys.token_hash("tenant session", x_session_token)
    asked = select(models.TenantSession).where(models.TenantSession.token_hash == token_hash)
    shown = (await session.scalars(asked.options(joinedload(models.TenantSession.tenant)))).one_or_none()
    if shown is None:
        raise SessionInvalidError
    now, idle = runtime.clock.now(), timedelta(seconds=runtime.settings.session_idle_seconds)
    if now >= min(shown.expires_at, shown.last_activity + idle):
        raise SessionExpiredError
    return Context(session, shown.tenant_id)


class Router(GraphQLRouter[Context, None]):
    """The library's, with a faster writer."""

    def encode_json(self, data: object) -> bytes:
        """An answer as JSON."""
        return orjson.dumps(data)


schema = strawberry.Schema(Query, extensions=[ParserCache(maxsize=KEPT), ValidationCache(maxsize=KEPT)])
router = Router(schema, path="/graphql", context_getter=context_of, graphql_ide=None)
