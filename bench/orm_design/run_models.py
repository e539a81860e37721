"""Sessions, projects, runs and tasks as mapped classes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bench.orm_design.models import Base, Tenant


class TenantSession(Base):
    """A browser in which a tenant is signed in."""

    __tablename__ = "tenant_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    token_hash: Mapped[bytes]
    last_activity: Mapped[datetime]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]

    tenant: Mapped[Tenant] = relationship()


class Run(Base):
    """One run of a project, with the figures of its tasks."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    project_number: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    state: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    total_tasks: Mapped[int]
    completed_tasks: Mapped[int]
    failed_tasks: Mapped[int]
    cancelled_tasks: Mapped[int]


class Project(Base):
    """What a tenant describes and lets agents build."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[str]
    tenant_id: Mapped[int | None] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    client_name: Mapped[str | None]
    description: Mapped[str | None]
    custom_instructions: Mapped[str | None]
    execution_status: Mapped[str]
    run_id: Mapped[int | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    newest_run: Mapped[Run | None] = relationship(
        primaryjoin=lambda: Project.run_id == Run.id, foreign_keys=lambda: Project.run_id, viewonly=True
    )


class AgentTask(Base):
    """A piece of a run's work."""

    __tablename__ = "agent_tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    agent_type: Mapped[str]
    name: Mapped[str]
    description: Mapped[str]
    status: Mapped[str]
    priority: Mapped[int]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None]

    run: Mapped[Run] = relationship()
