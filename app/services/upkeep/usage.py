"""The nightly work: proving that the daily sums equal their events, and removing what has passed its age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import NamedTuple

import structlog

from app.calendar import months_later
from app.context import Context
from app.database.removal import remove_all
from app.services.llm.answer_cache import remove_answers
from app.services.upkeep.llm import remove_calls
from sql.statements import licensing, months, usage

MAX_REPORTED = 100

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Difference:
    """A daily sum that is not the sum of its events."""

    tenant_id: int
    day: date
    kind: str
    quantity: int
    events: int
    rolled_quantity: int | None


class DifferentMonth(NamedTuple):
    """A month by which a tenant is ordered, and by how much it is more than its days."""

    tenant_id: int
    too_many: int


async def check_rollups(ctx: Context) -> Mapping[str, object]:
    """Compare the sums of days with their events and those of the running month with its days; report differences.

    The days are those that still receive events. Nothing is mended silently: the sums are kept by the database in
    the transaction of the events, so a difference is a fault that somebody must look at.
    """
    today, month = ctx.today(), ctx.month()
    first_day = today - timedelta(days=ctx.runtime.settings.usage_past_days + 1)
    differing: list[Difference] = []
    async with ctx.read() as conn:
        # One after the other: all of them at once outlast any time that a statement may take.
        for day in (first_day + timedelta(days=ahead) for ahead in range((today - first_day).days)):
            if room := MAX_REPORTED - len(differing):
                of_day = {"first_day": day, "next_day": day + timedelta(days=1)}
                differing += await conn.many(usage.rollups_that_differ, Difference, **of_day, max_rows=room)
        months_differing = await conn.many(
            months.months_that_differ,
            DifferentMonth,
            month=month.first_day,
            next_month=month.next_day,
            max_rows=MAX_REPORTED,
        )
    for difference in differing:
        log.error("usage_rollup_differs", **asdict(difference))
    for wrong in months_differing:
        log.error("usage_month_differs", month=month.first_day.isoformat(), **wrong._asdict())
    return {
        "first_day": first_day.isoformat(),
        "next_day": today.isoformat(),
        "differences": len(differing),
        "month_differences": len(months_differing),
    }


async def apply_retention(ctx: Context) -> Mapping[str, object]:
    """Remove what is older than the configured months, and keys and tokens that nobody can use.

    The former are usage events and the log of model calls, whose sums stay, and kept answers of models.
    """
    now = ctx.now()
    first_kept_day = months_later(ctx.month().first_day, -ctx.runtime.settings.usage_retention_months)
    db = ctx.runtime.db
    events = await remove_all(db, usage.delete_old_usage_events, first_kept_day=first_kept_day)
    families = await remove_all(db, licensing.delete_expired_refresh_families, now=now)
    async with ctx.write_autocommit() as conn:
        keys = await conn.affected(licensing.delete_expired_signing_keys, now=now)
    return {
        "usage_events": events,
        "llm_calls": await remove_calls(ctx),
        "model_answers": await remove_answers(ctx),
        "refresh_families": families,
        "signing_keys": keys,
    }
