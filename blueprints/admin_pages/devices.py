"""The pages of a tenant's devices: seeing them, and revoking one."""

from __future__ import annotations

from collections.abc import Mapping

from sanic import Request
from sanic.response import HTTPResponse

from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.services.directory.lookup import tenant_named
from app.services.licensing.device_list import device_of_tenant, list_devices
from app.services.licensing.devices import revoke_device
from blueprints.admin_pages import pages
from blueprints.admin_pages.tenant_choice import (
    PAGE_SIZE,
    asked_page,
    asked_tenant,
    choose_tenant,
    list_address,
    page_links,
    read_id,
)
from blueprints.web.pages import View, see_other

PATH = "/admin/devices"


@pages.page("GET", PATH, caller=operator(Permission.DEVICES_READ), template="devices.html", menu="Devices")
async def devices_page(request: Request, ctx: Context) -> View:
    """A tenant's devices, last seen first."""
    choice = await choose_tenant(ctx, asked_tenant(request))
    may_write = Permission.DEVICES_WRITE in ctx.actor.permissions
    values: dict[str, object] = {"path": PATH, "choice": choice, "may_write": may_write}
    if choice.tenant is not None:
        page = asked_page(request)
        listed = await list_devices(ctx, tenant_slug=choice.tenant.slug, page=page, page_size=PAGE_SIZE)
        values |= {"devices": listed.rows, "total": listed.total, "links": page_links(page, listed.total)}
    return View(values, choice.error.status if choice.error else 200, choice.error)


@pages.page("GET", "/admin/devices/revoke", caller=operator(Permission.DEVICES_WRITE), template="revoke_device.html")
async def ask_to_revoke_device(request: Request, ctx: Context) -> View:
    """Ask before a device is revoked, because somebody works with it."""
    tenant = await tenant_named(ctx, asked_tenant(request))
    device = await device_of_tenant(ctx, tenant.slug, read_id(request.args.get("device_id", "")))
    return View({"tenant": tenant, "device": device})


@pages.page("POST", "/admin/devices/revoke", caller=operator(Permission.DEVICES_WRITE))
async def revoke_device_page(request: Request, ctx: Context, form: Mapping[str, str]) -> HTTPResponse:
    """Revoke a device, and lead back to its tenant's."""
    tenant = await tenant_named(ctx, form.get("tenant_slug", ""))
    await revoke_device(ctx, tenant.slug, read_id(form.get("device_id", "")))
    return see_other(list_address(PATH, tenant.slug))
