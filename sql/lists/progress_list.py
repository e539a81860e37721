"""Pages of projects and of tasks as GraphQL shows them, of one tenant or of all, newest first."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, select

from sql.counting import PAGE_SIZE, SKIP
from sql.hidden import is_shown
from sql.matching import contains_pattern
from sql.scope import across_tenants
from sql.statements.progress import (
    OPERATORS,
    of_its_project,
    of_its_run,
    project_progress,
    task_progress,
    with_newest_run,
)
from sql.tables import agent_tasks, projects, runs


def project_page(is_of_tenant: bool, has_status: bool, has_name: bool, has_created_after: bool) -> Select[Any]:
    """A page of projects, each with the figures of its newest run."""
    statement = (
        select(*project_progress)
        .select_from(projects)
        .outerjoin(runs, with_newest_run)
        .where(is_shown(projects))
        .order_by(projects.c.created_at.desc(), projects.c.id.desc())
        .limit(PAGE_SIZE)
        .offset(SKIP)
    )
    if has_status:
        statement = statement.where(projects.c.execution_status == bindparam("status"))
    if has_name:
        statement = statement.where(contains_pattern(projects.c.folded_name))
    if has_created_after:
        statement = statement.where(projects.c.created_at > bindparam("created_after"))
    if is_of_tenant:
        return statement.where(projects.c.tenant_id == bindparam("tenant_id"))
    return across_tenants(statement, OPERATORS)


def task_page(
    is_of_tenant: bool, has_status: bool, has_agent: bool, has_project: bool, has_created_after: bool
) -> Select[Any]:
    """A page of tasks; those of all tenants by their ids, which are given in the order in which tasks are planned."""
    statement = (
        select(*task_progress)
        .select_from(agent_tasks)
        .join(runs, of_its_run)
        .join(projects, of_its_project)
        .where(is_shown(agent_tasks))
        .limit(PAGE_SIZE)
        .offset(SKIP)
    )
    if has_status:
        statement = statement.where(agent_tasks.c.status == bindparam("status"))
    if has_agent:
        statement = statement.where(agent_tasks.c.agent_type == bindparam("agent_type"))
    if has_project:
        statement = statement.where(projects.c.project_id == bindparam("project_id"))
    if has_created_after:
        statement = statement.where(agent_tasks.c.created_at > bindparam("created_after"))
    if is_of_tenant:
        statement = statement.where(agent_tasks.c.tenant_id == bindparam("tenant_id"))
        return statement.order_by(agent_tasks.c.created_at.desc(), agent_tasks.c.id.desc())
    return across_tenants(statement.order_by(agent_tasks.c.id.desc()), OPERATORS)
