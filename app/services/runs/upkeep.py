"""What schedules do for runs: ending those that will not end by themselves, and removing files that nobody needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog

from app.context import Context
from app.services.ledger.run_quota import return_run
from app.services.runs.moves import RunEndedError, moving
from app.services.runs.states import HUNG_BELOW, HUNG_SECONDS, Figures, is_hung
from sql.statements import runs as statements

AT_ONCE: Final = 200
# A start that is being committed has reserved its run a moment ago.
START_MINUTES: Final = 5

log = structlog.get_logger(__name__)


class _Overdue(NamedTuple):
    """A run that is older than it may be, or in which nothing has moved for long."""

    tenant_id: int
    id: int
    started_at: datetime
    moved_at: datetime
    total_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int

    @property
    def figures(self) -> Figures:
        return Figures(self.total_tasks, self.completed_tasks, self.failed_tasks, self.cancelled_tasks)


async def end_overdue_runs(ctx: Context) -> Mapping[str, object]:
    """End the runs that have run for too long or hang, and give back runs that were reserved for one that is gone.

    Whoever works on one of their tasks stops within seconds.
    """
    now, hours = ctx.now(), ctx.runtime.settings.run_timeout_hours
    moments = {
        "started_before": now - timedelta(hours=hours),
        "moved_before": now - timedelta(seconds=HUNG_SECONDS),
    }
    async with ctx.read() as conn:
        overdue = await conn.many(statements.overdue_runs, _Overdue, **moments, max_rows=AT_ONCE)
        before = now - timedelta(minutes=START_MINUTES)
        lost = await conn.many(statements.reservations_of_no_run, int, created_before=before, max_rows=AT_ONCE)
    ended = 0
    for run in overdue:
        if reason := _reason(run, now, hours):
            ended += await _end(ctx, run, reason)
    returned = 0
    for reservation_id in lost:
        async with ctx.write() as conn:
            returned += await return_run(conn, ctx, reservation_id)
    return {"ended": ended, "returned": returned}


def _reason(run: _Overdue, now: datetime, hours: float) -> str | None:
    if now - run.started_at >= timedelta(hours=hours):
        return f"It has run for longer than the {hours:g} hours that a run may take."
    if is_hung(run.figures, (now - run.moved_at).total_seconds()):
        return (
            f"Nothing has moved for {HUNG_SECONDS // 3600} h, and fewer than {HUNG_BELOW:.0%} of its tasks have"
            f" finished: {run.completed_tasks + run.failed_tasks} of {run.total_tasks}."
        )
    return None


async def _end(ctx: Context, run: _Overdue, reason: str) -> bool:
    try:
        async with moving(ctx, run.tenant_id, run.id) as move:
            await move.stop("failed", reason)
    except RunEndedError:
        return False
    log.warning("run_ended", run=run.id, reason=reason)
    return True


async def remove_old_files(ctx: Context) -> Mapping[str, object]:
    """Remove the files of runs that have gone, and of those that ended longer ago than files are kept.

    The objects go first: what is interrupted is done again.
    """
    before = ctx.now() - timedelta(days=ctx.runtime.settings.run_files_retention_days)
    removed = 0
    while True:
        async with ctx.read() as conn:
            run_ids = await conn.many(statements.folders_to_remove, int, ended_before=before, max_rows=AT_ONCE)
        for run_id in run_ids:
            while await ctx.runtime.artifacts.delete_run(run_id):
                pass
            async with ctx.write() as conn:
                await conn.affected(statements.delete_files_of_run, of_run_id=run_id)
                await conn.affected(statements.delete_folder, of_run_id=run_id)
            removed += 1
        if len(run_ids) < AT_ONCE:
            return {"runs": removed}
