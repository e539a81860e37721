"""The codes and the devices of all tenants, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Generic, TypeVar

from app.context import Context
from app.services.licensing import codes
from app.services.search import contains
from app.services.totals import Total, all_rows, rows_found
from sql.statements import license_lists as statements

Row = TypeVar("Row")

_code_page = cache(statements.code_page)
_codes_found = cache(statements.codes_found)
_device_page = cache(statements.device_page)
_devices_found = cache(statements.devices_found)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a list, and how long the list is."""

    rows: list[Row]
    total: Total


@dataclass(frozen=True, slots=True)
class ListedCode:
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


@dataclass(frozen=True, slots=True)
class ListedDevice:
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

    ``status`` is the one that is shown. ``search`` finds a part of the hint, the label or the tenant's name; a whole
    code is found by its hash, for whoever holds it.
    """
    values: dict[str, Any] = {"now": ctx.runtime.clock.now()}
    kind = None
    if search := search.strip():
        if (code := codes.normalize(search)) is not None:
            kind = "code"
            values |= {"hint": codes.hint(code), "code_hash": ctx.runtime.keys.code_hash(code)}
        else:
            kind = "text"
            values["pattern"] = contains(search)
    if tenant_slug:
        values["tenant_slug"] = tenant_slug
    if status:
        values["status"] = status
    which = (bool(tenant_slug), kind, bool(status))
    async with ctx.runtime.db.read() as conn:
        total = (
            await rows_found(conn, _codes_found(*which), **values)
            if any(which)
            else await all_rows(conn, "activation_codes")
        )
        paging = {"page_size": page_size, "skip": (page - 1) * page_size}
        return Page(await conn.many(_code_page(*which), ListedCode, **values, **paging), total)


async def list_all_devices(
    ctx: Context, *, tenant_slug: str | None = None, search: str = "", page: int = 1, page_size: int = 25
) -> Page[ListedDevice]:
    """A page of devices: those of a tenant by when they were last seen, those of all tenants newest first.

    ``search`` finds a part of the label, of the stored fingerprint, or of the tenant's name.
    """
    values: dict[str, Any] = {}
    if search := search.strip():
        values["pattern"] = contains(search)
    if tenant_slug:
        values["tenant_slug"] = tenant_slug
    which = (bool(tenant_slug), bool(search))
    async with ctx.runtime.db.read() as conn:
        total = (
            await rows_found(conn, _devices_found(*which), **values) if any(which) else await all_rows(conn, "devices")
        )
        paging = {"page_size": page_size, "skip": (page - 1) * page_size}
        return Page(await conn.many(_device_page(*which), ListedDevice, **values, **paging), total)
