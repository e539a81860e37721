"""How projects get on: figures, agents and tasks of many projects in batches, and sums over what a caller sees."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Integer, Label, Select, String, and_, bindparam, case, func, or_, select, type_coerce

from sql.dialect import batch_rows
from sql.hidden import is_shown
from sql.moments import seconds_between
from sql.scope import across_tenants
from sql.tables import agent_settings, agent_tasks, projects, runs
from sql.tables.columns import Instant

OPERATORS = "operators see the projects and tasks of all tenants"

# A project with the figures of its newest run.
project_progress = (
    projects.c.id.label("number"),
    projects.c.project_id.label("id"),
    projects.c.tenant_id,
    projects.c.name.label("own_name"),
    projects.c.client_name,
    projects.c.description,
    projects.c.custom_instructions,
    type_coerce(projects.c.execution_status, String).label("status"),
    projects.c.created_at,
    projects.c.updated_at,
    projects.c.run_id,
    runs.c.started_at.label("run_started_at"),
    *(
        func.coalesce(column, 0).label(column.key)
        for column in (runs.c.total_tasks, runs.c.completed_tasks, runs.c.failed_tasks, runs.c.cancelled_tasks)
    ),
)
with_newest_run = and_(runs.c.tenant_id == projects.c.tenant_id, runs.c.id == projects.c.run_id)

_is_running = agent_tasks.c.status == "running"
_is_completed = agent_tasks.c.status == "completed"
_is_failed = agent_tasks.c.status == "failed"
_seconds = seconds_between(agent_tasks.c.started_at, agent_tasks.c.ended_at)

# A task by itself. Its choices are read as the texts that they are: to compare each with the list of all, though no
# other can be stored, would be a third of what a row costs.
_task_alone = (
    type_coerce(agent_tasks.c.agent_type, String).label("agent_type"),
    agent_tasks.c.name.label("title"),
    agent_tasks.c.description,
    type_coerce(agent_tasks.c.status, String).label("status"),
    agent_tasks.c.priority,
    agent_tasks.c.created_at,
    agent_tasks.c.started_at,
    case((_is_completed, agent_tasks.c.ended_at)).label("completed_at"),
    agent_tasks.c.error.label("error_message"),
)
# The same with its project, and what is needed to find its agent.
task_progress = (
    agent_tasks.c.id,
    agent_tasks.c.tenant_id,
    agent_tasks.c.run_id,
    projects.c.project_id,
    projects.c.run_id.label("newest_run_id"),
    *_task_alone,
)
of_its_run = and_(runs.c.tenant_id == agent_tasks.c.tenant_id, runs.c.id == agent_tasks.c.run_id)
of_its_project = and_(projects.c.tenant_id == runs.c.tenant_id, projects.c.id == runs.c.project_number)


_of_tenants = batch_rows(tenant_id=BigInteger, project_id=String)

# Projects of tenants by their ids, for the requests of several tenants at once.
projects_of_tenants = (
    select(*project_progress)
    .select_from(_of_tenants)
    .join(
        projects,
        and_(projects.c.tenant_id == _of_tenants.c.tenant_id, projects.c.project_id == _of_tenants.c.project_id),
    )
    .outerjoin(runs, with_newest_run)
    .where(is_shown(projects))
)

_of_all = batch_rows(project_id=String)

# Projects of whomever by their ids.
projects_by_id = across_tenants(
    select(*project_progress)
    .select_from(_of_all)
    .join(projects, projects.c.project_id == _of_all.c.project_id)
    .outerjoin(runs, with_newest_run)
    .where(is_shown(projects)),
    OPERATORS,
)


def task_by_id(is_of_tenant: bool) -> Select[Any]:
    """One task, of one tenant or of any."""
    statement = (
        select(*task_progress)
        .select_from(agent_tasks)
        .join(runs, of_its_run)
        .join(projects, of_its_project)
        .where(agent_tasks.c.id == bindparam("task_id"), is_shown(agent_tasks))
    )
    if is_of_tenant:
        return statement.where(agent_tasks.c.tenant_id == bindparam("tenant_id"))
    return across_tenants(statement, OPERATORS)


_told = batch_rows(tenant_id=BigInteger, run_id=BigInteger)

# Whose runs these are: the projects of many runs.
projects_of_runs = (
    select(runs.c.id.label("run_id"), projects.c.project_id)
    .select_from(_told)
    .join(runs, and_(runs.c.tenant_id == _told.c.tenant_id, runs.c.id == _told.c.run_id))
    .join(projects, of_its_project)
    .where(is_shown(projects))
)

_last_change = func.coalesce(agent_tasks.c.ended_at, agent_tasks.c.started_at, agent_tasks.c.created_at)


def _count(condition: Any, label: str) -> Label[int]:
    return func.count().filter(condition).label(label)


# MATERIALIZED, or PostgreSQL would take each member out of its JSON again for every task.
_lists = batch_rows(
    place=Integer, tenant_id=BigInteger, number=BigInteger, run_id=BigInteger, status=String, most=Integer
).prefix_with("MATERIALIZED")
_by_completion = _lists.c.status == "completed"
_ranked = (
    select(
        _lists.c.place,
        agent_tasks.c.id,
        agent_tasks.c.run_id,
        *_task_alone,
        func.row_number()
        .over(
            partition_by=_lists.c.place,
            order_by=(
                # For every other list these two are null for all rows.
                case((_by_completion, agent_tasks.c.ended_at)),
                case((_by_completion, agent_tasks.c.id)),
                agent_tasks.c.created_at.desc(),
                agent_tasks.c.id.desc(),
            ),
        )
        .label("rank"),
        _lists.c.most,
    )
    .select_from(_lists)
    .join(
        runs,
        and_(
            runs.c.tenant_id == _lists.c.tenant_id,
            runs.c.project_number == _lists.c.number,
            or_(_lists.c.status.is_(None), runs.c.id == _lists.c.run_id),
        ),
    )
    .join(
        agent_tasks,
        and_(
            agent_tasks.c.tenant_id == _lists.c.tenant_id,
            agent_tasks.c.run_id == runs.c.id,
            or_(_lists.c.status.is_(None), agent_tasks.c.status == _lists.c.status),
        ),
    )
    .where(is_shown(agent_tasks))
    .subquery("ranked")
)

# The tasks of many projects: of all runs, or those of the newest run with a status, so many of each project.
tasks_of_projects = (
    select(_ranked.c.place, _ranked.c.id, _ranked.c.run_id, *(_ranked.c[column.key] for column in _task_alone))
    .where(_ranked.c.rank <= _ranked.c.most)
    .order_by(_ranked.c.place, _ranked.c.rank)
)

_newest_runs = batch_rows(tenant_id=BigInteger, project_id=String, run_id=BigInteger)

# What the kinds of agents have done in the newest runs of many projects.
agents_of_runs = (
    select(
        _newest_runs.c.project_id,
        agent_tasks.c.agent_type,
        _count(_is_completed, "tasks_completed"),
        _count(_is_failed, "tasks_failed"),
        case((runs.c.state == "running", func.max(case((_is_running, agent_tasks.c.id))))).label("running_task_id"),
        func.max(_last_change, type_=Instant).label("changed_at"),
    )
    .select_from(_newest_runs)
    .join(runs, and_(runs.c.tenant_id == _newest_runs.c.tenant_id, runs.c.id == _newest_runs.c.run_id))
    .join(agent_tasks, and_(agent_tasks.c.tenant_id == runs.c.tenant_id, agent_tasks.c.run_id == runs.c.id))
    .where(is_shown(agent_tasks))
    .group_by(_newest_runs.c.project_id, agent_tasks.c.agent_type, runs.c.state)
)

_configured = batch_rows(project_id=String)

# Which agents of many projects have settings of their own.
agents_with_settings = (
    select(
        agent_settings.c.project_id,
        agent_settings.c.agent_type,
        agent_settings.c.enabled,
        agent_settings.c.updated_at,
    )
    .select_from(_configured)
    .join(agent_settings, agent_settings.c.project_id == _configured.c.project_id)
    .where(is_shown(agent_settings))
)

_timed = batch_rows(tenant_id=BigInteger, number=BigInteger)

# How long a completed task of many projects took on average.
mean_seconds = (
    select(_timed.c.number, func.avg(_seconds).label("seconds"))
    .select_from(_timed)
    .join(runs, and_(runs.c.tenant_id == _timed.c.tenant_id, runs.c.project_number == _timed.c.number))
    .join(agent_tasks, and_(agent_tasks.c.tenant_id == runs.c.tenant_id, agent_tasks.c.run_id == runs.c.id))
    .where(_is_completed, is_shown(agent_tasks))
    .group_by(_timed.c.number)
)


def figures_by_agent(is_of_tenant: bool, is_of_project: bool) -> Select[Any]:
    """What the tasks of each kind of agent come to, over a tenant's runs, a project's or all."""
    today = bindparam("midnight", type_=Instant)
    statement = (
        select(
            agent_tasks.c.agent_type,
            func.count().label("total"),
            _count(_is_completed, "completed"),
            _count(_is_failed, "failed"),
            _count(_is_running, "active"),
            _count(and_(_is_completed, agent_tasks.c.ended_at >= today), "completed_today"),
            _count(and_(_is_failed, agent_tasks.c.ended_at >= today), "failed_today"),
            func.coalesce(func.sum(case((_is_completed, _seconds))), 0.0).label("seconds"),
            func.max(case((_is_running, agent_tasks.c.id))).label("running_task_id"),
            func.max(_last_change, type_=Instant).label("changed_at"),
        )
        .where(is_shown(agent_tasks))
        .group_by(agent_tasks.c.agent_type)
        .order_by(agent_tasks.c.agent_type)
    )
    if is_of_project:
        statement = (
            statement.select_from(agent_tasks)
            .join(runs, of_its_run)
            .join(projects, of_its_project)
            .where(projects.c.project_id == bindparam("project_id"))
        )
    if is_of_tenant:
        return statement.where(agent_tasks.c.tenant_id == bindparam("tenant_id"))
    return across_tenants(statement, OPERATORS)


def project_counts(is_of_tenant: bool) -> Select[Any]:
    """How many projects there are, and how many of them run."""
    is_running = projects.c.execution_status == "running"
    counts: list[Any] = [func.count().label("total"), _count(is_running, "active")]
    statement = select(*counts).where(is_shown(projects))
    if is_of_tenant:
        return statement.where(projects.c.tenant_id == bindparam("tenant_id"))
    return across_tenants(statement, OPERATORS)


def newly_completed(is_of_tenant: bool) -> Select[Any]:
    """The tasks that were completed last."""
    statement = (
        select(*task_progress)
        .select_from(agent_tasks)
        .join(runs, of_its_run)
        .join(projects, of_its_project)
        .where(_is_completed, is_shown(agent_tasks))
        .order_by(agent_tasks.c.ended_at.desc(), agent_tasks.c.id.desc())
        .limit(bindparam("max_rows"))
    )
    if is_of_tenant:
        return statement.where(agent_tasks.c.tenant_id == bindparam("tenant_id"))
    return across_tenants(statement, OPERATORS)
