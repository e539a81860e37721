"""The codes and the devices of all tenants, page by page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

from app.context import Context
from app.services.figures.totals import Found, Total, capped, codes_in, read_page
from app.services.licensing import code_text
from sql.lists import license_list as statements
from sql.patterns import contains

Row = TypeVar("Row")

_code_page = cache(statements.code_page)
_device_page = cache(statements.device_page)
_codes_named = cache(statements.codes_matching)
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{1,64}")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a list, and how long the list is."""

    rows: list[Row]
    total: Total


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


class ListedDevice(NamedTuple):
    """A device beside its tenant's name."""

    id: int
    tenant: str
    tenant_slug: str
    label: str | None
    hw_fingerprint: str
    last_seen: datetime
    created_at: datetime
    is_revoked: bool


async def list_all_codes(
    ctx: Context,
    *,
    tenant_slug: str | None = None,
    status: str | None = None,
    search: str = "",
    page: int = 1,
    page_size: int = 25,
) -> Page[ListedCode]:
    """A page of codes, newest first.

    ``status`` is the one that is shown. ``search`` finds a hint, or a part of the label or the tenant's name; a whole
    code is found by its hash, for whoever holds it.
    """
    values: dict[str, Any] = {"now": ctx.now()}
    paging = {"page_size": page_size, "skip": (page - 1) * page_size}
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
        statement = _code_page(bool(tenant_slug), how, bool(status))
        if how == "way" and not tenant_slug:
            found = await conn.one(_codes_named(bool(status)), Found, **values, **paging)
            total, values["batch"] = found.counted, found.batch
            statement = statements.codes_by_ids if found.way == "found" else statement
        elif status and not (tenant_slug or how):
            total = await codes_in(conn, status, values["now"])
        rows, counted = read_page(await conn.rows(statement, **values, **paging), ListedCode)
    return Page(rows, total or (capped(counted) if tenant_slug or how else Total(counted)))


async def list_all_devices(
    ctx: Context, *, tenant_slug: str | None = None, search: str = "", page: int = 1, page_size: int = 25
) -> Page[ListedDevice]:
    """A page of devices: those of a tenant by when they were last seen, those of all tenants newest first.

    ``search`` finds a part of the label or of the tenant's name, and the beginning of the stored fingerprint.
    """
    values: dict[str, Any] = {}
    paging = {"page_size": page_size, "skip": (page - 1) * page_size}
    if search := search.strip():
        begins = search.lower() if _HEXADECIMAL.fullmatch(search) else ""
        # No character of a fingerprint comes after an f.
        values |= {"pattern": contains(search), "fingerprint_from": begins, "fingerprint_to": begins and begins + "g"}
    if tenant_slug:
        values["tenant_slug"] = tenant_slug
    total = None
    async with ctx.read() as conn:
        statement = _device_page(bool(tenant_slug), bool(search))
        if search and not tenant_slug:
            found = await conn.one(statements.devices_matching, Found, **values, **paging)
            total, values["batch"] = found.counted, found.batch
            statement = statements.devices_by_ids if found.way == "found" else statement
        rows, counted = read_page(await conn.rows(statement, **values, **paging), ListedDevice)
    return Page(rows, total or (capped(counted) if tenant_slug else Total(counted)))
