"""The list of tenants: a page in any order, of all or of those that a search and a state find."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from app.context import Context
from app.db import ReadConnection
from app.services.search import contains
from app.services.tenants.details import TenantDetails, TenantRow, running_month, with_codes
from app.services.totals import Total, all_rows, rows_found
from sql.statements import counters
from sql.statements import tenant_lists as statements

SortField = Literal["name", "slug", "created_at", "updated_at", "usage", "usage_current"]

_page = cache(statements.tenant_page)
_found = cache(statements.tenants_found)


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Some tenants of a list, and how long the list is."""

    tenants: list[TenantDetails]
    total: Total


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
    filters: dict[str, Any] = {}
    if search := search.strip():
        filters["pattern"] = contains(search)
    if status not in {None, "none"}:
        filters["status"] = status
    async with ctx.runtime.db.read() as conn:
        total = (
            await rows_found(conn, _found(bool(search), _kind(status)), **filters)
            if search or status
            else await all_rows(conn, "tenants")
        )
        is_opened = by == "usage" and await _is_opened(conn, month.first_day)
        rows = await conn.many(
            _page(by, is_descending, bool(search), _kind(status), is_opened),
            TenantRow,
            month=month.first_day,
            page_size=page_size,
            skip=(page - 1) * page_size,
            **filters,
        )
        return TenantPage(await with_codes(conn, month, rows), total)


def _kind(status: str | None) -> str | None:
    """One statement for every state, so that they share a plan."""
    return status if status in {None, "none"} else "state"


async def _is_opened(conn: ReadConnection, first_day: object) -> bool:
    return bool(await conn.rows(counters.opened_month, month=first_day))
