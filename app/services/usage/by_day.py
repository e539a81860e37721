"""Metered usage by day and kind, of many tenants at once: the newest day first, the kinds of a day by their names."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.errors import ValidationError
from app.services.directory.visible import sees
from app.services.figures.totals import Total
from sql.lists import tenant_relations as statements

MAX_DAYS: Final = 366


class DayOfUsage(NamedTuple):
    """What a tenant has used of a kind on a day in the installation's time zone, and in how many events."""

    day: date
    kind: str
    quantity: int
    events: int


class UsageSpan(NamedTuple):
    """The usage of a tenant from one day to another, both included; perhaps only of a kind."""

    tenant_id: int
    since: date
    until: date
    kind: str | None = None


class UsagePart(NamedTuple):
    """So many sums of a span behind the one of a day and a kind, or the first ones."""

    span: UsageSpan
    wanted: int
    after: tuple[date, str] | None = None


def cursor_of_day(row: DayOfUsage) -> str:
    """The cursor that leads to what is behind this sum."""
    return urlsafe_b64encode(f"{row.day}.{row.kind}".encode()).decode().rstrip("=")


def place_of_day(cursor: str) -> tuple[date, str]:
    """The day and the kind that a cursor stands for; raises ValidationError for a text that is none."""
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        day, _, kind = text.partition(".")
        return date.fromisoformat(day), kind
    except ValueError:
        raise ValidationError.of("after", "is not one that was answered", kind="cursor") from None


def span_of(ctx: Context, tenant_id: int, *, since: date | None, until: date | None, kind: str | None) -> UsageSpan:
    """The span that is asked for; without a beginning it begins with the month of its end, which is today.

    Raises ValidationError for more than MAX_DAYS days, or where it ends before it begins.
    """
    last = until or ctx.today()
    first = since or last.replace(day=1)
    if not 0 <= (last - first).days < MAX_DAYS:
        raise ValidationError.of("since", f"must be at most {MAX_DAYS - 1} days before until", kind="out_of_range")
    return UsageSpan(tenant_id, first, last, kind)


async def usage_of_tenants(ctx: Context, parts: Sequence[UsagePart]) -> list[list[DayOfUsage]]:
    """These parts of the spans, with one statement."""
    found: list[list[Any]] = [[] for _ in parts]
    batch = as_batch(
        [
            {
                **_row(place, part.span),
                "after_day": part.after and part.after[0],
                "after_kind": part.after and part.after[1],
            }
            for place, part in enumerate(parts)
            if sees(ctx, part.span.tenant_id)
        ]
    )
    page_size = max(part.wanted for part in parts)
    async with ctx.read() as conn:
        for row in await conn.rows(statements.usage_of_tenants, batch=batch, page_size=page_size):
            found[row[0]].append(row)
    return [[DayOfUsage(*row[1:]) for row in rows[: part.wanted]] for part, rows in zip(parts, found, strict=True)]


async def counts_of_usage(ctx: Context, spans: Sequence[UsageSpan]) -> list[Total]:
    """How many sums each span has, with one statement."""
    seen = [_row(place, span) for place, span in enumerate(spans) if sees(ctx, span.tenant_id)]
    batch = as_batch([{**row, "after_day": None, "after_kind": None} for row in seen])
    async with ctx.read() as conn:
        totals = {row.place: row.total for row in await conn.rows(statements.counts_of_usage, batch=batch)}
    return [Total(totals.get(place, 0)) for place in range(len(spans))]


def _row(place: int, span: UsageSpan) -> dict[str, Any]:
    return {"place": place, **span._asdict()}
