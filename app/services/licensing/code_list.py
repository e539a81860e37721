"""The list of activation codes: a page of one tenant's or of all, and one code of a tenant."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from app.context import Context
from app.cursors import Place
from app.errors import CodeNotFoundError
from app.services.directory.lookup import find_tenant
from app.services.figures.totals import Found, Page, Total, capped, codes_in, read_page
from app.services.licensing import code_text
from sql.lists import code_list as statements
from sql.patterns import contains

_code_page = cache(statements.code_page)
_codes_matching = cache(statements.codes_matching)


class ListedCode(NamedTuple):
    """A code beside its tenant's name; ``status`` is active, used, expired or revoked."""

    id: int
    hint: str
    tenant: str
    tenant_slug: str
    label: str | None
    status: str
    expires_at: datetime | None
    used_at: datetime | None
    created_at: datetime
    use_count: int
    max_uses: int


async def list_codes(
    ctx: Context,
    *,
    tenant_slug: str | None = None,
    status: str | None = None,
    search: str = "",
    page: int = 1,
    page_size: int = 25,
    after: Place | None = None,
) -> Page[ListedCode]:
    """A page of codes, newest first: this one, or the one behind a place by id.

    ``search`` matches a hint, or a part of the label or the tenant's name. A whole code is matched by its hash, so that
    a person who holds a code can find it.
    """
    values: dict[str, Any] = {"now": ctx.now()}
    paging: dict[str, int] = {"page_size": page_size, "skip": (page - 1) * page_size}
    if after is not None:
        paging["cursor_id"] = after[1]
    how: str | None = None
    if search := search.strip():
        if (code := code_text.normalize(search)) is not None:
            how = "code"
            values |= {"hint": code_text.hint(code), "code_hash": ctx.runtime.keys.code_hash(code)}
        else:
            how = "way"
            hint = search.upper() if len(search) == code_text.GROUP_LENGTH else ""
            values |= {"pattern": contains(search), "hint": hint}
    if tenant_slug:
        values["tenant_slug"] = tenant_slug
    if status:
        values["status"] = status
    total = None
    async with ctx.read() as conn:
        statement = _code_page(bool(tenant_slug), how, bool(status), after is not None)
        if how == "way" and not tenant_slug:
            found = await conn.one(_codes_matching(bool(status), after is not None), Found, **values, **paging)
            total, values["batch"] = found.counted, found.batch
            statement = statements.codes_by_ids if found.way == "found" else statement
        elif status and not (tenant_slug or how):
            total = await codes_in(conn, status, values["now"])
        rows, counted = read_page(await conn.rows(statement, **values, **paging), ListedCode)
    return Page(rows, total or (capped(counted) if tenant_slug or how else Total(counted)))


async def code_of_tenant(ctx: Context, tenant_slug: str, code_id: int) -> ListedCode:
    """The tenant's code with this id; raises TenantNotFoundError or CodeNotFoundError."""
    async with ctx.read() as conn:
        tenant = await find_tenant(conn, tenant_slug)
        key = {"tenant_id": tenant.id, "code_id": code_id}
        code = await conn.maybe(statements.code_of_tenant, ListedCode, **key, now=ctx.now())
    if code is None:
        raise CodeNotFoundError
    return code
