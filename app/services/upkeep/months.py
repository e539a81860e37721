"""The upkeep of the months by which tenants are ordered: folding changes into them, opening and closing them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.services.upkeep.folds import fold_all
from sql.statements import months as statements
from sql.sums import bounded


class RunChange(NamedTuple):
    """By how much a statement has moved a tenant's month."""

    id: int
    tenant_id: int
    month: date
    runs: int


async def fold_runs(ctx: Context) -> int:
    """Move the changes that have committed into the months, some at a time; answers how many there were."""
    return await fold_all(ctx, _fold_some)


async def _fold_some(ctx: Context, after: int, max_rows: int) -> list[int]:
    async with ctx.write() as conn:
        changes = await conn.many(statements.take_run_changes, RunChange, after=after, max_rows=max_rows)
        sums: Counter[tuple[int, date]] = Counter()
        for _, tenant_id, month, runs in changes:
            sums[tenant_id, month] += runs
        rows = [
            {"tenant_id": tenant_id, "month": month, "runs": bounded(runs)} for (tenant_id, month), runs in sums.items()
        ]
        if rows:
            await conn.affected(statements.add_to_months, batch=as_batch(rows))
    return [change.id for change in changes]


async def keep_months(ctx: Context) -> Mapping[str, object]:
    """Give every tenant its rows for this month and the next, and delete the rows of the months before.

    This month's are missing only if nobody opened them last month, for example because the portal stood still.
    """
    month = ctx.month()
    kept = (month.first_day, month.next_day)
    async with ctx.write() as conn:
        await conn.affected(statements.close_months, first_month=month.first_day)
        for first_day in kept:
            await conn.affected(statements.open_month, month=first_day)
    # Opened before they are filled: a tenant that is created in between gets its rows from the database.
    filled = 0
    for first_day in kept:
        async with ctx.write() as conn:
            filled += await conn.affected(statements.fill_month, of_month=first_day)
    async with ctx.write() as conn:
        removed = await conn.affected(statements.delete_closed_runs, first_month=month.first_day)
    return {"next_month": month.next_day.isoformat(), "rows": filled, "removed": removed}
