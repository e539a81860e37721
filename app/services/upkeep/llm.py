"""The upkeep of what models have cost: folding changes into the days, proving these, and removing old calls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

import structlog

from app.calendar import months_later
from app.context import Context
from app.database.connections import as_batch
from app.database.removal import remove_all
from app.services.upkeep.folds import fold_all
from sql.statements import llm_usage as statements
from sql.sums import bounded

MAX_REPORTED = 100

log = structlog.get_logger(__name__)


class UsageChange(NamedTuple):
    """What a statement has added to the log of a day and a model; the cost is in 1e-9 USD."""

    id: int
    day: date
    provider: str
    model: str
    calls: int
    successes: int
    cached: int
    input_tokens: int
    output_tokens: int
    cost: int
    duration_ms: int


class OldestDay(NamedTuple):
    """The first day of which the log has rows; None while it is empty."""

    day: date | None


class DifferentDay(NamedTuple):
    """By how much the sums of a model's day are more than its rows of the log."""

    provider: str
    model: str
    calls: int
    successes: int
    cached: int
    input_tokens: int
    output_tokens: int
    cost: int
    duration_ms: int


async def fold_days(ctx: Context) -> int:
    """Move the changes that have committed into the days, some at a time; answers how many there were."""
    return await fold_all(ctx, _fold_some)


async def _fold_some(ctx: Context, after: int, max_rows: int) -> list[int]:
    async with ctx.write() as conn:
        changes = await conn.many(statements.take_changes, UsageChange, after=after, max_rows=max_rows)
        sums: dict[tuple[date, str, str], UsageChange] = {}
        for change in changes:
            key = change[1:4]
            sums[key] = _added(sums[key], change) if key in sums else change
        if sums:
            await conn.affected(statements.add_to_days, batch=as_batch([_row(each) for each in sums.values()]))
    return [change.id for change in changes]


def _added(one: UsageChange, other: UsageChange) -> UsageChange:
    """Both changes of the same day and model as one."""
    return UsageChange._make((*one[:4], *(mine + more for mine, more in zip(one[4:], other[4:], strict=True))))


def _row(change: UsageChange) -> dict[str, object]:
    row = change._asdict()
    del row["id"]
    return row | {name: bounded(row[name]) for name in statements.SUMS}


async def check_days(ctx: Context) -> int:
    """Compare the sums of the days that the log still has with its rows; answers how many differ.

    Nothing is mended silently: the sums are kept in the transaction of the calls, so a difference is a fault that
    somebody must look at.
    """
    differing = 0
    async with ctx.read() as conn:
        oldest = (await conn.one(statements.oldest_day, OldestDay)).day
        if oldest is None:
            return 0
        # One after the other: all of them at once outlast any time that a statement may take.
        for of_day in _days(max(oldest, _first_kept_day(ctx)), ctx.today()):
            room = MAX_REPORTED - differing
            wrong = await conn.many(statements.days_that_differ, DifferentDay, day=of_day, max_rows=room)
            for one in wrong:
                log.error("llm_usage_day_differs", day=of_day.isoformat(), **one._asdict())
            differing += len(wrong)
            if differing >= MAX_REPORTED:
                break
    return differing


async def remove_calls(ctx: Context) -> int:
    """Remove the calls older than the configured months, some at a time; answers how many. Their sums stay."""
    return await remove_all(ctx.runtime.db, statements.delete_old_calls, first_kept_day=_first_kept_day(ctx))


def _first_kept_day(ctx: Context) -> date:
    return months_later(ctx.month().first_day, -ctx.runtime.settings.llm_log_retention_months)


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=ahead) for ahead in range((last - first).days + 1))
