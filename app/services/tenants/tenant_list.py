"""The list of tenants: a page in any order, of all or of those that a search and a state find."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from app.context import Context
from app.cursors import Place, moment_of
from app.services.figures.totals import Found, Total, capped, read_page
from app.services.tenants.details import TenantDetails
from sql.folding import fold
from sql.lists import tenant_list as statements
from sql.patterns import TRIGRAM, contains, word_patterns
from sql.statements import months

SortField = Literal["name", "slug", "created_at", "updated_at", "usage", "usage_current"]

_page = cache(statements.tenant_page)
_chosen = cache(statements.tenants_by_ids)
_page_by_usage = cache(statements.tenant_page_by_usage)
_named = cache(statements.tenants_matching)


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Some tenants of a list, and how long the list is."""

    tenants: list[TenantDetails]
    total: Total


@dataclass(frozen=True, slots=True)
class Licensee:
    """A tenant and what it has subscribed to, if anything; ``max_devices`` None means no limit.

    What is granted is the override where there is one, else the plan's figure.
    """

    id: int
    name: str
    slug: str
    plan: str | None
    state: str | None
    seats_used: int | None
    max_devices: int | None
    max_devices_override: int | None
    plan_max_devices: int | None
    monthly_run_quota: int | None
    monthly_run_quota_override: int | None
    plan_monthly_run_quota: int | None


async def list_tenants(
    ctx: Context,
    *,
    page: int = 1,
    page_size: int = 10,
    search: str = "",
    status: str | None = None,
    sort_field: SortField = "created_at",
    is_descending: bool = True,
    after: Place | None = None,
) -> TenantPage:
    """A page of tenants; equals stand newest first. The one behind a place is one of the list by age, newest first.

    ``search`` finds a part of the name or the slug in any case, ``status`` a state of the current subscription, or
    ``none``. Whatever the page holds, it takes the same number of statements.
    """
    skip = (page - 1) * page_size
    values: dict[str, Any] = {"page_size": page_size, "skip": skip, **ctx.month().as_parameters}
    if status not in {None, "none"}:
        values["status"] = status
    if after is not None:
        values |= {"cursor_at": moment_of(after), "cursor_id": after[1]}
    by = None if sort_field in {"usage", "usage_current"} else sort_field
    async with ctx.read() as conn:
        how, total = None, None
        if search := search.strip():
            values["pattern"] = contains(search)
            words = word_patterns(search)
            order = by if after is None else "cursor"
            lookup = _named(_kind(status), len(fold(search)) < TRIGRAM, len(words), order, is_descending)
            found = await conn.one(lookup, Found, **values, **words)
            how, total, values["batch"] = found.way, found.counted, found.batch
        if by is None:
            is_opened = bool(await conn.rows(months.opened_month, month=values["month"]))
            statement = _page_by_usage(is_descending, how, _kind(status), is_opened)
            values["max_rows"] = skip + page_size
        elif how == "found":
            statement = _chosen(by, is_descending)
        else:
            statement = _page(by, is_descending, how, _kind(status), after is not None)
        tenants, counted = read_page(await conn.rows(statement, **values), TenantDetails)
    return TenantPage(tenants, total or (capped(counted) if status else Total(counted)))


async def tenants_by_slug(ctx: Context, *, after_slug: str = "", page_size: int = 100) -> list[Licensee]:
    """The next tenants behind a slug, in the order of their slugs."""
    async with ctx.read() as conn:
        return await conn.many(statements.tenants_by_slug, Licensee, after_slug=after_slug, page_size=page_size)


def _kind(status: str | None) -> str | None:
    """One statement for every state, so that they share a plan."""
    return status if status in {None, "none"} else "state"
