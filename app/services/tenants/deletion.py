"""Deleting a tenant with everything that it has, in one transaction, and saying beforehand how much that is."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from app.context import Context
from app.events import Event, EventType, record
from app.services.directory.lookup import Tenant, find_tenant, lock_tenant
from sql.statements import tenant_changes as statements


@dataclass(frozen=True, slots=True)
class DeletionImpact:
    """How many rows of a tenant are deleted with it; active codes can still be used."""

    codes: int
    active_codes: int
    revoked_codes: int
    devices: int
    revoked_devices: int
    subscriptions: int
    usage_events: int
    usage_rollups: int
    sessions: int


async def deletion_impact(ctx: Context, tenant_slug: str) -> tuple[Tenant, DeletionImpact]:
    """The tenant and what would be deleted with it; raises TenantNotFoundError."""
    async with ctx.read() as conn:
        tenant = await find_tenant(conn, tenant_slug)
        now = ctx.now()
        return tenant, await conn.one(statements.deletion_impact, DeletionImpact, tenant_id=tenant.id, now=now)


async def delete_tenant(ctx: Context, tenant_slug: str) -> None:
    """Delete the tenant and everything that it has, for good; raises TenantNotFoundError.

    The audit trail keeps its events, and a last one with its name. Activations and metering that are under way are
    waited for: codes and devices are locked in the order in which an activation locks them, the tenant itself last.
    """
    now = ctx.now()
    async with ctx.write() as conn:
        tenant = await lock_tenant(conn, tenant_slug)
        impact = await conn.one(statements.deletion_impact, DeletionImpact, tenant_id=tenant.id, now=now)
        await conn.affected(statements.revoke_codes_of_tenant, of_tenant_id=tenant.id, now=now)
        await conn.affected(statements.delete_subscriptions, of_tenant_id=tenant.id)
        await conn.affected(statements.revoke_devices_of_tenant, of_tenant_id=tenant.id)
        await conn.affected(statements.delete_refresh_families, of_tenant_id=tenant.id)
        await conn.affected(statements.delete_devices, of_tenant_id=tenant.id)
        await conn.affected(statements.delete_codes, of_tenant_id=tenant.id)
        await conn.affected(statements.delete_run_changes, of_tenant_id=tenant.id)
        await conn.affected(statements.delete_deliveries, of_slug=tenant.slug)
        metadata = {"name": tenant.name, "slug": tenant.slug, **asdict(impact)}
        title = f"Tenant {tenant.name} deleted"
        await record(conn, ctx, Event(EventType.TENANT_DELETED, title, tenant_id=tenant.id, metadata=metadata))
        await conn.affected(statements.delete_tenant, of_id=tenant.id)
