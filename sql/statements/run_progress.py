"""Runs as GraphQL shows them, many at once: by their ids, those of many projects, and the tasks and events of many."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    func,
    or_,
    select,
)

from sql.counting import PAGE_SIZE
from sql.dialect import batch_rows
from sql.hidden import is_shown, tenant_is_shown
from sql.scope import across_tenants
from sql.statements.progress import OPERATORS, of_its_project, of_its_run, task_progress
from sql.statements.runs import listed_columns
from sql.tables import agent_tasks, projects, run_events, runs, tenants

_asked = batch_rows(run_id=BigInteger)


def runs_by_id(is_of_tenant: bool) -> Select[Any]:
    """Runs by their ids, those of one tenant or of all."""
    statement = (
        select(*listed_columns)
        .select_from(_asked)
        .join(runs, runs.c.id == _asked.c.run_id)
        .join(projects, of_its_project)
        .join(tenants, tenants.c.id == runs.c.tenant_id)
        .where(is_shown(runs), tenant_is_shown)
    )
    if is_of_tenant:
        return statement.where(runs.c.tenant_id == bindparam("tenant_id"))
    return across_tenants(statement, OPERATORS)


# A page of one project's runs behind a run, the newest first.
_lists = batch_rows(place=Integer, tenant_id=BigInteger, number=BigInteger, state=String, before_id=BigInteger)


def _is_listed(lists: FromClause) -> ColumnElement[bool]:
    return and_(
        runs.c.tenant_id == lists.c.tenant_id,
        runs.c.project_number == lists.c.number,
        runs.c.id < lists.c.before_id,
        or_(lists.c.state.is_(None), runs.c.state == lists.c.state),
    )


# Where a page ends is looked up first, so that an index leads to its rows: to number the runs of each project would be
# to read all of them.
_last = (
    select(runs.c.id)
    .where(_is_listed(_lists))
    .order_by(runs.c.id.desc())
    .limit(1)
    .offset(PAGE_SIZE - 1)
    .correlate(_lists)
    .scalar_subquery()
)
_bounds = select(*_lists.c, func.coalesce(_last, 0).label("last_id")).cte("bounds").prefix_with("MATERIALIZED")

runs_of_projects = (
    select(_bounds.c.place, *listed_columns)
    .select_from(_bounds)
    .join(runs, and_(_is_listed(_bounds), runs.c.id >= _bounds.c.last_id))
    .join(projects, of_its_project)
    .join(tenants, tenants.c.id == runs.c.tenant_id)
    .where(is_shown(runs), tenant_is_shown)
    .order_by(_bounds.c.place, runs.c.id.desc())
)

# A part of one run's tasks, behind a task and so many at most.
_parts = batch_rows(
    place=Integer, tenant_id=BigInteger, run_id=BigInteger, status=String, after_id=BigInteger, most=Integer
)
_planned_first = (
    select(
        _parts.c.place,
        *task_progress,
        func.row_number().over(partition_by=_parts.c.place, order_by=agent_tasks.c.id).label("rank"),
        _parts.c.most,
    )
    .select_from(_parts)
    .join(runs, and_(runs.c.tenant_id == _parts.c.tenant_id, runs.c.id == _parts.c.run_id))
    .join(projects, of_its_project)
    .join(
        agent_tasks,
        and_(
            of_its_run,
            agent_tasks.c.id > _parts.c.after_id,
            or_(_parts.c.status.is_(None), agent_tasks.c.status == _parts.c.status),
        ),
    )
    .where(is_shown(agent_tasks))
    .subquery("planned_first")
)

# In the order in which they were planned.
tasks_of_runs = (
    select(_planned_first.c.place, *(_planned_first.c[column.key] for column in task_progress))
    .where(_planned_first.c.rank <= _planned_first.c.most)
    .order_by(_planned_first.c.place, _planned_first.c.rank)
)

# A run's events have no gap, so a part of them is known by its numbers.
_spans = batch_rows(
    place=Integer, tenant_id=BigInteger, run_id=BigInteger, after_number=BigInteger, last_number=BigInteger
)
events_of_runs = across_tenants(
    select(
        _spans.c.place,
        run_events.c.run_id,
        run_events.c.number,
        run_events.c.tenant_id,
        run_events.c.xid,
        run_events.c.kind,
        run_events.c.message,
        run_events.c.task_id,
        run_events.c.data,
        run_events.c.created_at,
    )
    .select_from(_spans)
    .join(runs, and_(runs.c.tenant_id == _spans.c.tenant_id, runs.c.id == _spans.c.run_id))
    .join(
        run_events,
        and_(
            run_events.c.run_id == runs.c.id,
            run_events.c.number > _spans.c.after_number,
            run_events.c.number <= _spans.c.last_number,
        ),
    )
    .where(is_shown(runs))
    .order_by(_spans.c.place, run_events.c.number),
    "the run is found by its tenant, and its events by the run",
)
