"""Who may see and report a tenant's usage: its devices, its sessions, and operators."""

from __future__ import annotations

from dataclasses import dataclass

from app.context import Context
from app.errors import TenantMismatchError, TenantNotFoundError
from app.services.licensing.policy import device_policy
from sql.statements import usage


@dataclass(frozen=True, slots=True)
class MeteredTenant:
    """Whose usage it is and what the plan grants; ``device_id`` is the device that asks, if one does."""

    tenant_id: int
    tenant_slug: str
    plan_name: str | None
    monthly_run_quota: int | None
    device_id: int | None = None


async def metered_tenant(ctx: Context, tenant_slug: str) -> MeteredTenant:
    """The tenant at this slug, as far as the caller may see it.

    Raises TenantMismatchError when a device or a session asks for any slug but its own, whether such a tenant exists
    or not, and TenantNotFoundError when an operator asks for one that does not.
    """
    if ctx.actor.type == "device":
        device = await device_policy(ctx)
        if device.tenant_slug != tenant_slug:
            raise TenantMismatchError
        return MeteredTenant(
            device.tenant_id, device.tenant_slug, device.plan_name, device.monthly_run_quota, device.device_id
        )
    async with ctx.read() as conn:
        tenant = await conn.maybe(usage.metered_tenant, MeteredTenant, tenant_slug=tenant_slug)
    if ctx.actor.type == "tenant" and (tenant is None or tenant.tenant_id != ctx.tenant_id):
        raise TenantMismatchError
    if tenant is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return tenant
