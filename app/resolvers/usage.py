"""Metered usage of a tenant, by day and kind."""

from __future__ import annotations

from datetime import date
from functools import partial

from ariadne import ObjectType

from app.resolvers.connections import Connection, Slice
from app.resolvers.context import Info
from app.services.tenants.details import TenantDetails
from app.services.usage.by_day import DayOfUsage, UsagePart, cursor_of_day, place_of_day, span_of

tenant = ObjectType("Tenant")


@tenant.field("usage")
async def resolve_usage(
    of: TenantDetails,
    info: Info,
    *,
    since: date | None,
    until: date | None,
    kind: str | None,
    first: int,
    after: str | None,
) -> Connection[DayOfUsage]:
    """What it has used."""
    asked, loaders = Slice.asked(first, after), info.context.loaders.licensing
    span = span_of(info.context.ctx, of.id, since=since, until=until, kind=kind)
    place = None if after is None else place_of_day(after)
    rows = await loaders.usage_of_tenants.load(UsagePart(span, asked.wanted, place))
    return asked.connection(rows, cursor_of_day, partial(loaders.counts_of_usage.load, span))
