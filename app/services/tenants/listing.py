"""The list of tenants: a page in any order, of all or of those that a search and a state find."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from app.context import Context
from app.db import ReadConnection, as_batch
from app.services.search import contains
from app.services.tenants.details import TenantDetails, TenantRow, running_month, with_codes
from app.services.totals import Total, all_rows, rows_found
from sql.statements import counters
from sql.statements import tenant_lists as statements
from sql.statements.tenant_lists import MOST_COUNTED

SortField = Literal["name", "slug", "created_at", "updated_at", "usage", "usage_current"]

TRIGRAM = 3

_page = cache(statements.tenant_page)
_named = cache(statements.tenants_named)
_in = cache(statements.tenants_in)


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Some tenants of a list, and how long the list is."""

    tenants: list[TenantDetails]
    total: Total


@dataclass(frozen=True, slots=True)
class Licensee:
    """A tenant and what it has subscribed to, if anything; ``max_devices`` None means no limit."""

    id: int
    name: str
    slug: str
    plan: str | None
    state: str | None
    seats_used: int | None
    max_devices: int | None


async def list_tenants(
    ctx: Context,
    *,
    page: int = 1,
    page_size: int = 10,
    search: str = "",
    status: str | None = None,
    sort_field: SortField = "created_at",
    is_descending: bool = True,
) -> TenantPage:
    """A page of tenants; equals stand newest first.

    ``search`` finds a part of the name or the slug in any case, ``status`` a state of the current subscription, or
    ``none``. Whatever the page holds, it takes the same number of statements.
    """
    month = running_month(ctx)
    by = "usage" if sort_field == "usage_current" else sort_field
    paging = {"page_size": page_size, "skip": (page - 1) * page_size}
    filters: dict[str, Any] = {}
    if search := search.strip():
        filters["pattern"] = contains(search)
    if status not in {None, "none"}:
        filters["status"] = status
    async with ctx.runtime.db.read() as conn:
        how, total, filters = await _found(conn, search, status, filters)
        is_opened = by == "usage" and await _is_opened(conn, month.first_day)
        statement = _page(by, is_descending, how, _kind(status), is_opened)
        rows = await conn.many(statement, TenantRow, month=month.first_day, **paging, **filters)
        return TenantPage(await with_codes(conn, month, rows), total)


async def tenants_by_slug(ctx: Context, *, after_slug: str = "", page_size: int = 100) -> list[Licensee]:
    """The next tenants behind a slug, in the order of their slugs."""
    async with ctx.runtime.db.read() as conn:
        return await conn.many(statements.tenants_by_slug, Licensee, after_slug=after_slug, page_size=page_size)


async def _found(
    conn: ReadConnection, search: str, status: str | None, filters: dict[str, Any]
) -> tuple[str | None, Total, dict[str, Any]]:
    """How the page is found, how many there are, and what its statement is told.

    Few are looked for first and then put in order; where there are too many to be named, each is compared on the way
    along the order, because the next that matches is never far.
    """
    if search:
        found = await conn.many(_named(_kind(status), len(search) < TRIGRAM), int, **filters)
        if len(found) > MOST_COUNTED:
            return "way", Total(MOST_COUNTED, is_capped=True), filters
        return "found", Total(len(found)), {"batch": as_batch([{"id": tenant_id} for tenant_id in found])}
    if status:
        return None, await rows_found(conn, _in(_kind(status)), **filters), filters
    return None, await all_rows(conn, "tenants"), filters


def _kind(status: str | None) -> str | None:
    """One statement for every state, so that they share a plan."""
    return status if status in {None, "none"} else "state"


async def _is_opened(conn: ReadConnection, first_day: object) -> bool:
    return bool(await conn.rows(counters.opened_month, month=first_day))
