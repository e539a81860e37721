"""Runs: starting one, locking it for a move, ending it, and finding those that somebody must end."""

from __future__ import annotations

from sqlalchemy import Select, String, and_, bindparam, delete, exists, or_, select, update

from sql.dialect import batch_rows, insert
from sql.hidden import hidden_too, is_shown
from sql.scope import across_tenants
from sql.tables import ledger_reservations, projects, run_files, run_folders, runs, tenants

_LOCKED = "the run was found and locked just before, and it was shown"

insert_run = insert(runs).returning(runs.c.id)

insert_folder = insert(run_folders)

other_run_of_tenant = select(
    exists().where(runs.c.tenant_id == bindparam("tenant_id"), runs.c.state == "running").label("is_running")
)

# Only one of several starts finds the project in one of these states.
set_project_running = (
    update(projects)
    .where(
        projects.c.tenant_id == bindparam("of_tenant_id"),
        projects.c.id == bindparam("of_id"),
        projects.c.execution_status.in_(("pending", "failed", "paused")),
    )
    .values(execution_status="running", run_id=bindparam("new_run_id"))
)

show_modal_again = (
    update(projects)
    .where(projects.c.tenant_id == bindparam("of_tenant_id"), projects.c.id == bindparam("of_id"))
    .values(show_completion_modal=True)
)

# Only its newest run says what a project's state is.
set_project_ended = (
    update(projects)
    .where(
        projects.c.tenant_id == bindparam("of_tenant_id"),
        projects.c.id == bindparam("of_id"),
        projects.c.run_id == bindparam("of_run_id"),
    )
    .values(execution_status=bindparam("status"))
)

_moving = (
    runs.c.id,
    runs.c.tenant_id,
    runs.c.project_number,
    projects.c.project_id,
    projects.c.name.label("project_name"),
    runs.c.state,
    runs.c.brief,
    runs.c.reservation_id,
    runs.c.counted_at,
    runs.c.started_at,
    runs.c.ended_at,
    runs.c.error,
    runs.c.events,
    runs.c.total_tasks,
    runs.c.completed_tasks,
    runs.c.failed_tasks,
    runs.c.cancelled_tasks,
)
_with_project: Select[*tuple[object, ...]] = (
    select(*_moving)
    .select_from(runs)
    .join(projects, and_(projects.c.tenant_id == runs.c.tenant_id, projects.c.id == runs.c.project_number))
)

# Every change of a run, its tasks, events and files holds this lock.
run_locked = (
    _with_project.where(runs.c.tenant_id == bindparam("tenant_id"), runs.c.id == bindparam("run_id"), is_shown(runs))
    .where(runs.c.state == "running")
    .with_for_update(of=runs, key_share=True)
)

move_run = (
    update(runs)
    .where(runs.c.tenant_id == bindparam("of_tenant_id"), runs.c.id == bindparam("of_id"))
    .values(
        state=bindparam("new_state"),
        counted_at=bindparam("new_counted_at"),
        ended_at=bindparam("new_ended_at"),
        error=bindparam("new_error"),
        moved_at=bindparam("now"),
        events=bindparam("new_events"),
        total_tasks=bindparam("total"),
        completed_tasks=bindparam("completed"),
        failed_tasks=bindparam("failed"),
        cancelled_tasks=bindparam("cancelled"),
    )
)

shown_columns = (
    runs.c.id,
    projects.c.project_id,
    runs.c.state,
    runs.c.started_by,
    runs.c.started_at,
    runs.c.ended_at,
    runs.c.counted_at,
    runs.c.error,
    runs.c.events,
    runs.c.total_tasks,
    runs.c.completed_tasks,
    runs.c.failed_tasks,
    runs.c.cancelled_tasks,
)
# The same with its tenant before it.
listed_columns = (runs.c.tenant_id, tenants.c.slug.label("tenant_slug"), *shown_columns)
_shown_runs: Select[*tuple[object, ...]] = (
    select(*shown_columns)
    .select_from(runs)
    .join(projects, and_(projects.c.tenant_id == runs.c.tenant_id, projects.c.id == runs.c.project_number))
)
_of_project = and_(runs.c.tenant_id == bindparam("tenant_id"), projects.c.project_id == bindparam("project_id"))

runs_of_project = (
    _shown_runs.where(_of_project, is_shown(runs), runs.c.id < bindparam("before_id"))
    .order_by(runs.c.id.desc())
    .limit(bindparam("max_rows"))
)

# Which project a run is of, for operators, who name it by its id alone.
place_of_run = across_tenants(
    select(projects.c.project_id, runs.c.tenant_id)
    .select_from(runs)
    .join(projects, and_(projects.c.tenant_id == runs.c.tenant_id, projects.c.id == runs.c.project_number))
    .where(runs.c.id == bindparam("run_id"), is_shown(runs)),
    "an operator names a run by its id alone",
)

run_of_project = _shown_runs.where(_of_project, is_shown(runs), runs.c.id == bindparam("run_id"))

# A run that nobody ends by itself: older than it may be, or one in which nothing has moved for long.
overdue_runs = across_tenants(
    select(
        runs.c.tenant_id,
        runs.c.id,
        runs.c.started_at,
        runs.c.moved_at,
        runs.c.total_tasks,
        runs.c.completed_tasks,
        runs.c.failed_tasks,
        runs.c.cancelled_tasks,
    )
    .where(
        runs.c.state == "running",
        or_(runs.c.started_at < bindparam("started_before"), runs.c.moved_at < bindparam("moved_before")),
        is_shown(runs),
    )
    .order_by(runs.c.id)
    .limit(bindparam("max_rows")),
    "a schedule ends the runs of all tenants",
)

# Reservations of runs that have gone with their tenant or their project before they counted.
reservations_of_no_run = across_tenants(
    hidden_too(
        select(ledger_reservations.c.id)
        .where(
            ledger_reservations.c.unit == "runs",
            ledger_reservations.c.state == "open",
            ledger_reservations.c.created_at < bindparam("created_before"),
            ~exists().where(runs.c.reservation_id == ledger_reservations.c.id, runs.c.state == "running"),
        )
        .order_by(ledger_reservations.c.id)
        .limit(bindparam("max_rows")),
        "a reservation outlives its run, whoever it was for",
    ),
    "a schedule looks after the reservations of all tenants",
)

# Objects that nobody needs any more: their run has gone, or has ended so long ago.
folders_to_remove = across_tenants(
    hidden_too(
        select(run_folders.c.run_id)
        .outerjoin(runs, runs.c.id == run_folders.c.run_id)
        .where(or_(runs.c.id.is_(None), runs.c.ended_at < bindparam("ended_before")))
        .order_by(run_folders.c.run_id)
        .limit(bindparam("max_rows")),
        "the files of deleted tenants are removed as well",
    ),
    "a schedule removes the old files of all tenants",
)

delete_files_of_run = across_tenants(
    hidden_too(delete(run_files).where(run_files.c.run_id == bindparam("of_run_id")), _LOCKED),
    "a schedule removes the old files of all tenants",
)

delete_folder = delete(run_folders).where(run_folders.c.run_id == bindparam("of_run_id"))

files_of_run = (
    select(run_files.c.path, run_files.c.sha256, run_files.c.size, run_files.c.written_at.label("modified_at"))
    .where(run_files.c.tenant_id == bindparam("tenant_id"), run_files.c.run_id == bindparam("run_id"))
    .order_by(run_files.c.path)
)

_file = insert(run_files)
put_files = _file.on_conflict_do_update(
    index_elements=[run_files.c.run_id, run_files.c.path],
    set_={
        "sha256": _file.excluded.sha256,
        "size": _file.excluded.size,
        "task_id": _file.excluded.task_id,
        "written_at": _file.excluded.written_at,
    },
)

_removed = batch_rows(path=String)
remove_files = delete(run_files).where(
    run_files.c.tenant_id == bindparam("of_tenant_id"),
    run_files.c.run_id == bindparam("of_run_id"),
    run_files.c.path.in_(select(_removed.c.path)),
)
