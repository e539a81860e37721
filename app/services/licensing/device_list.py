"""The list of devices: a page of one tenant's or of all, and one device of a tenant."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from app.context import Context
from app.cursors import Place
from app.errors import DeviceNotFoundError
from app.services.directory.lookup import find_tenant
from app.services.figures.totals import Found, Page, Total, capped, read_page
from sql.lists import device_list as statements
from sql.patterns import contains

_device_page = cache(statements.device_page)
_devices_matching = cache(statements.devices_matching)
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{1,64}")


class ListedDevice(NamedTuple):
    """A device beside its tenant's name; ``clone_count`` families of its tokens came back after they had ended."""

    id: int
    tenant: str
    tenant_slug: str
    label: str | None
    hw_fingerprint: str
    last_seen: datetime
    created_at: datetime
    is_revoked: bool
    has_seat: bool
    clone_count: int


async def list_devices(
    ctx: Context,
    *,
    tenant_slug: str | None = None,
    search: str = "",
    is_newest_first: bool = False,
    page: int = 1,
    page_size: int = 25,
    after: Place | None = None,
) -> Page[ListedDevice]:
    """A page of devices: newest first, or those of a tenant by when they were last seen unless ``is_newest_first``.

    A heartbeat moves a device to the front of the second order, so only the first can be read page by page as a whole;
    it is the one in which the page may be the one behind a place by id.

    ``search`` matches a part of the label or of the tenant's name, and the beginning of the stored fingerprint.
    """
    values: dict[str, Any] = {}
    paging: dict[str, int] = {"page_size": page_size, "skip": (page - 1) * page_size}
    if after is not None:
        paging["cursor_id"] = after[1]
    if search := search.strip():
        begins = search.lower() if _HEXADECIMAL.fullmatch(search) else ""
        # No character of a fingerprint comes after an f.
        values |= {"pattern": contains(search), "fingerprint_from": begins, "fingerprint_to": begins and begins + "g"}
    if tenant_slug:
        values["tenant_slug"] = tenant_slug
    total = None
    async with ctx.read() as conn:
        is_by_last_seen = bool(tenant_slug) and not is_newest_first
        statement = _device_page(bool(tenant_slug), bool(search), is_by_last_seen, after is not None)
        if search and not tenant_slug:
            found = await conn.one(_devices_matching(after is not None), Found, **values, **paging)
            total, values["batch"] = found.counted, found.batch
            statement = statements.devices_by_ids if found.way == "found" else statement
        rows, counted = read_page(await conn.rows(statement, **values, **paging), ListedDevice)
    return Page(rows, total or (capped(counted) if tenant_slug else Total(counted)))


async def device_of_tenant(ctx: Context, tenant_slug: str, device_id: int) -> ListedDevice:
    """The tenant's device with this id; raises TenantNotFoundError or DeviceNotFoundError."""
    async with ctx.read() as conn:
        tenant = await find_tenant(conn, tenant_slug)
        key = {"tenant_id": tenant.id, "device_id": device_id}
        device = await conn.maybe(statements.device_of_tenant, ListedDevice, **key)
    if device is None:
        raise DeviceNotFoundError(device_id=device_id)
    return device
