"""Reading the figures that the database keeps: sums over periods, whose days begin where the installation stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.calendar import start_of
from app.database.connections import ReadConnection, as_batch
from sql.statements import statistics
from sql.tables.statistics import GRAINS, QUARTER_SECONDS, TOTAL

# Every bucket there is.
ENDLESS = 2**31
# The period that ends now, of metrics whose buckets are those of an expiry.
EXPIRED = "expired"


class Period(NamedTuple):
    """From a bucket up to another one, summed from buckets of one grain; several of a name are added up."""

    name: str
    grain: int
    first_bucket: int
    next_bucket: int


class PeriodSum(NamedTuple):
    """A part of a sum."""

    metric: str
    period: str
    value: int


class DimensionSum(NamedTuple):
    """What a metric comes to in one of its dimensions."""

    dimension: str
    value: int


@dataclass(frozen=True)
class Figures:
    """Sums by metric and period; a sum that is not among them is zero."""

    parts: Sequence[PeriodSum]

    def of(self, metric: str, period: str = "all") -> int:
        """The sum of a metric over a period."""
        return sum(part.value for part in self.parts if (part.metric, part.period) == (metric, period))

    def by_period(self, metric: str) -> dict[str, int]:
        """The sums of a metric by the names of their periods."""
        sums: dict[str, int] = {}
        for part in self.parts:
            if part.metric == metric:
                sums[part.period] = sums.get(part.period, 0) + part.value
        return sums


ALL_TIME = Period("all", TOTAL, 0, ENDLESS)


def _batch_of(periods: Iterable[tuple[str, Period]]) -> str:
    """Metrics with their periods as the batch of the statements that read sums."""
    return as_batch([{"metric": metric, "period": period[0], **_buckets(period)} for metric, period in periods])


def _buckets(period: Period) -> dict[str, int]:
    return {"grain": period.grain, "first_bucket": period.first_bucket, "next_bucket": period.next_bucket}


async def read_figures(conn: ReadConnection, periods: Iterable[tuple[str, Period]]) -> Figures:
    """The sums of metrics over periods, with one statement."""
    return Figures(await conn.many(statistics.sums, PeriodSum, batch=_batch_of(periods)))


async def read_with_expired(
    conn: ReadConnection, now: datetime, periods: Iterable[tuple[str, Period]], expiring: Iterable[str]
) -> Figures:
    """The sums of metrics over periods, and of those by expiry what has expired by now; with one statement.

    Whole quarters of an hour are sums, and what has expired within the running one is counted. ``subscriptions_active``
    is among them over all time.
    """
    running = bucket_of(now)
    expired = [(metric, period) for metric in expiring for period in before(EXPIRED, running)]
    parts = await conn.many(
        statistics.sums_and_just_expired,
        PeriodSum,
        batch=_batch_of([*periods, *expired]),
        now=now,
        quarter_began=datetime.fromtimestamp(running * QUARTER_SECONDS, now.tzinfo),
    )
    return Figures(parts)


async def current_subscriptions(conn: ReadConnection) -> dict[tuple[int, str], int]:
    """How many current subscriptions there are by the plan's id and the state."""
    parts = await conn.many(statistics.sums_by_dimension, DimensionSum, metric="subscriptions_current")
    by_plan_and_state = ((part.dimension.partition(":"), part.value) for part in parts)
    return {(int(plan), state): count for (plan, _, state), count in by_plan_and_state if count}


async def revenue(conn: ReadConnection) -> dict[str, int]:
    """What was paid and not given back by currency, in its smallest unit: invoices and purchases of codes."""
    earned: dict[str, int] = {}
    for metric in ("revenue_invoices", "revenue_codes"):
        for part in await conn.many(statistics.sums_by_dimension, DimensionSum, metric=metric):
            earned[part.dimension] = earned.get(part.dimension, 0) + part.value
    return {currency: amount for currency, amount in earned.items() if amount}


def bucket_of(moment: datetime) -> int:
    """The bucket in which a moment lies."""
    return int(moment.timestamp() // QUARTER_SECONDS)


def days_between(first_day: date, last_day: date, zone: ZoneInfo) -> list[Period]:
    """The periods of each day from the first to the last, named by its date."""
    days = [first_day + timedelta(days=ahead) for ahead in range((last_day - first_day).days + 1)]
    return [period for day in days for period in span(day.isoformat(), day, day, zone)]


def span(name: str, first_day: date, last_day: date, zone: ZoneInfo) -> list[Period]:
    """The periods that together are all days from the first to the last."""
    first, end = (bucket_of(start_of(day, zone)) for day in (first_day, last_day + timedelta(days=1)))
    return list(_pieces(name, first, end, GRAINS))


def before(name: str, bucket: int) -> list[Period]:
    """The periods that together are everything before a bucket."""
    return list(_pieces(name, 0, bucket, GRAINS))


def _pieces(name: str, first: int, end: int, grains: Sequence[int]) -> Iterator[Period]:
    """As few buckets as possible: the largest that fit, and before and after them smaller ones."""
    if first >= end:
        return
    *finer, grain = grains
    body, tail = first + -first % grain, end - end % grain
    if body >= tail:
        yield from _pieces(name, first, end, finer)
        return
    yield from _pieces(name, first, body, finer)
    yield Period(name, grain, body, tail)
    yield from _pieces(name, tail, end, finer)
