"""What happened in runs: the events of one run by their numbers, and of all runs in an order that skips none."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Select, and_, bindparam, func, insert, literal_column, select, tuple_

from sql.counting import PAGE_SIZE
from sql.dialect import batch_rows, commit_place, events_horizon
from sql.hidden import is_shown
from sql.scope import across_tenants
from sql.tables import projects, run_events, runs

_event = (
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
# Under the run's lock. Where the transaction has waited for it longer than one with a greater id, the event gets that
# one's: it has committed, so nothing appears behind a place that was read.
_last = (
    select(run_events.c.xid)
    .where(run_events.c.tenant_id == bindparam("tenant_id"), run_events.c.run_id == bindparam("run_id"))
    .order_by(run_events.c.number.desc())
    .limit(1)
    .scalar_subquery()
)
_given = [column for column in run_events.c if column.name != "xid"]
insert_run_events = insert(run_events).from_select(
    [*(column.name for column in _given), "xid"],
    select(
        *(bindparam(column.name, type_=column.type).label(column.name) for column in _given),
        commit_place(_last, literal_column(run_events.name), literal_column(run_events.c.xid.name)),
    ),
)

_is_running = (runs.c.state == "running").label("is_running")


def _run_of_project(*conditions: Any) -> Select[Any]:
    """The newest run of a project that fits; nulls where none does, and no row where there is no such project."""
    return (
        select(runs.c.id.label("run_id"), runs.c.events, _is_running)
        .select_from(projects)
        .outerjoin(
            runs, and_(runs.c.tenant_id == projects.c.tenant_id, runs.c.project_number == projects.c.id, *conditions)
        )
        .where(
            projects.c.tenant_id == bindparam("tenant_id"),
            projects.c.project_id == bindparam("project_id"),
            is_shown(projects),
        )
        .order_by(runs.c.id.desc())
        .limit(1)
    )


newest_run = _run_of_project()
run_by_id = _run_of_project(runs.c.id == bindparam("run_id"))

# The run as it is at the moment of its events, which are null where nothing follows; no row once it is gone. The events
# are found by their run alone: if their tenant were named too, a planner could choose to read all that the tenant has.
events_of_run = across_tenants(
    select(runs.c.events, _is_running, *_event)
    .select_from(runs)
    .outerjoin(run_events, and_(run_events.c.run_id == runs.c.id, run_events.c.number > bindparam("after_number")))
    .where(runs.c.tenant_id == bindparam("tenant_id"), runs.c.id == bindparam("run_id"), is_shown(runs))
    .order_by(run_events.c.number)
    .limit(PAGE_SIZE),
    "the run is found by its tenant, and its events by the run",
)

_watched = batch_rows(tenant_id=BigInteger, run_id=BigInteger)

# How far each of some runs is; no row for one that is gone.
newest_numbers = (
    select(runs.c.id.label("run_id"), runs.c.events, _is_running)
    .select_from(_watched)
    .join(runs, and_(runs.c.tenant_id == _watched.c.tenant_id, runs.c.id == _watched.c.run_id))
    .where(is_shown(runs))
)

# Events of all runs are read in the order of their transactions, and only below the oldest one that still runs: none
# can appear later in front of a place where a reader already is.
_order = (run_events.c.xid, run_events.c.run_id, run_events.c.number)
_behind = and_(
    tuple_(*_order) > tuple_(bindparam("after_xid"), bindparam("after_run_id"), bindparam("after_number")),
    run_events.c.xid < events_horizon(),
)

events_of_tenant = (
    select(*_event).where(run_events.c.tenant_id == bindparam("tenant_id"), _behind).order_by(*_order).limit(PAGE_SIZE)
)

events_of_all = across_tenants(
    select(*_event).where(_behind, is_shown(run_events)).order_by(*_order).limit(PAGE_SIZE),
    "one reader follows the runs of all tenants for all that watch them",
)

# The transaction behind which everything is still to come.
last_transaction = across_tenants(
    select(func.coalesce(func.max(run_events.c.xid), 0).label("xid")).where(
        run_events.c.xid < events_horizon(), is_shown(run_events)
    ),
    "one reader follows the runs of all tenants for all that watch them",
)
