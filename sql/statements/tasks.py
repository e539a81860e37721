"""The tasks of runs: taking one, moving it, and finding those that wait for somebody."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Select, String, Text, and_, bindparam, case, or_, select, update

from sql.dialect import batch_rows, insert
from sql.hidden import is_shown
from sql.scope import across_tenants
from sql.tables import agent_tasks, runs, worker_heartbeats
from sql.tables.columns import Instant

task_details = (
    agent_tasks.c.id,
    agent_tasks.c.key,
    agent_tasks.c.agent_type,
    agent_tasks.c.name,
    agent_tasks.c.description,
    agent_tasks.c.priority,
    agent_tasks.c.needs,
    agent_tasks.c.qa_round,
    agent_tasks.c.status,
    agent_tasks.c.ready_at,
    agent_tasks.c.holder,
    agent_tasks.c.attempt,
    agent_tasks.c.created_at,
    agent_tasks.c.started_at,
    agent_tasks.c.ended_at,
    agent_tasks.c.error,
    agent_tasks.c.outputs,
)
_of_run = and_(agent_tasks.c.tenant_id == bindparam("tenant_id"), agent_tasks.c.run_id == bindparam("run_id"))
_set_one = and_(agent_tasks.c.tenant_id == bindparam("of_tenant_id"), agent_tasks.c.id == bindparam("of_id"))

tasks_of_run: Select[Any] = select(*task_details).where(_of_run).order_by(agent_tasks.c.id)

insert_tasks = insert(agent_tasks).returning(*task_details)

place_of_task = across_tenants(
    select(agent_tasks.c.tenant_id, agent_tasks.c.run_id).where(
        agent_tasks.c.id == bindparam("task_id"), is_shown(agent_tasks)
    ),
    "an errand knows a task by its id alone",
)

# A holder whose heartbeat has stopped, or that has none any more.
_holder_is_dead = ~(
    select(worker_heartbeats.c.executor_id)
    .where(
        worker_heartbeats.c.executor_id == agent_tasks.c.holder, worker_heartbeats.c.beat_at >= bindparam("alive_since")
    )
    .correlate(agent_tasks)
    .exists()
)

# What may be taken now: a ready task, one of a dead holder, or one that this process has held and does not work on. The
# one that was asked for comes first.
_can_be_taken = or_(
    and_(agent_tasks.c.status == "pending", agent_tasks.c.ready_at.is_not(None)),
    and_(
        agent_tasks.c.status == "running",
        or_(
            _holder_is_dead,
            and_(
                agent_tasks.c.holder == bindparam("executor_id"),
                agent_tasks.c.id.not_in(bindparam("held_ids", expanding=True)),
            ),
        ),
    ),
)
next_task = (
    select(*task_details)
    .where(_of_run, _can_be_taken)
    .order_by(case((agent_tasks.c.id == bindparam("wanted_id"), 0), else_=1), agent_tasks.c.priority, agent_tasks.c.id)
    .limit(1)
)

take_task = (
    update(agent_tasks)
    .where(_set_one, agent_tasks.c.attempt == bindparam("last_attempt"))
    .values(
        status="running",
        holder=bindparam("executor_id"),
        attempt=bindparam("last_attempt") + 1,
        started_at=bindparam("begun_at"),
        error=None,
    )
    .returning(*task_details)
)

# Changes nothing once somebody else has taken the task.
_is_held = and_(
    _set_one,
    agent_tasks.c.status == "running",
    agent_tasks.c.holder == bindparam("executor_id"),
    agent_tasks.c.attempt == bindparam("own_attempt"),
)

end_task = (
    update(agent_tasks)
    .where(_is_held)
    .values(
        status=bindparam("new_status"),
        ended_at=bindparam("now"),
        error=bindparam("new_error"),
        outputs=bindparam("new_outputs"),
    )
    .returning(*task_details)
)

give_back_task = (
    update(agent_tasks)
    .where(_is_held)
    .values(status="pending", holder=None, error=bindparam("new_error"))
    .returning(*task_details)
)

# A task that was begun too often fails, whoever holds it; its run is locked.
fail_task = (
    update(agent_tasks)
    .where(_set_one, agent_tasks.c.status.in_(("pending", "running")))
    .values(status="failed", ended_at=bindparam("now"), error=bindparam("new_error"))
    .returning(*task_details)
)

_changes = batch_rows(id=BigInteger, status=String, ready_at=Instant, ended_at=Instant, error=Text)

# What follows for other tasks of the run, which is locked.
set_tasks = (
    update(agent_tasks)
    .where(agent_tasks.c.tenant_id == bindparam("of_tenant_id"), agent_tasks.c.id == _changes.c.id)
    .values(
        status=_changes.c.status,
        ready_at=_changes.c.ready_at,
        ended_at=_changes.c.ended_at,
        error=_changes.c.error,
    )
)

# Tasks that somebody should work on by now: ready ones, and those whose holder is dead.
tasks_waiting = across_tenants(
    select(agent_tasks.c.id)
    .join(runs, and_(runs.c.tenant_id == agent_tasks.c.tenant_id, runs.c.id == agent_tasks.c.run_id))
    .where(
        runs.c.state == "running",
        is_shown(runs),
        or_(
            and_(agent_tasks.c.status == "pending", agent_tasks.c.ready_at < bindparam("ready_before")),
            and_(agent_tasks.c.status == "running", _holder_is_dead),
        ),
    )
    .order_by(agent_tasks.c.id)
    .limit(bindparam("max_rows")),
    "the sweep looks for tasks that nobody works on",
)

# Whether whoever works on a task may go on: its run is running, and nobody else has taken the task.
still_held = (
    select(agent_tasks.c.id)
    .join(runs, and_(runs.c.tenant_id == agent_tasks.c.tenant_id, runs.c.id == agent_tasks.c.run_id))
    .where(
        agent_tasks.c.tenant_id == bindparam("tenant_id"),
        agent_tasks.c.id == bindparam("task_id"),
        agent_tasks.c.status == "running",
        agent_tasks.c.holder == bindparam("executor_id"),
        agent_tasks.c.attempt == bindparam("own_attempt"),
        runs.c.state == "running",
        is_shown(runs),
    )
)
