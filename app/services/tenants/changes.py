"""Changing tenants: what differs from what is stored is written, and recorded in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import TenantNotFoundError, ValidationError
from app.events import Event, EventType, record
from app.services.billing.customers import lock_customer
from app.services.billing.fact_log import FOLD
from app.services.billing.plans import find_plan
from app.services.billing.subscriptions import override, put_on_plan
from app.services.directory.lookup import Tenant
from app.services.tenants.details import TenantDetails, details_on
from sql.folding import key
from sql.statements import tenant_changes as statements

# By the way in which one-time passwords are sent: the fields of which one must be filled in.
_ADDRESSES_OF = {
    "email": ("email",),
    "sms": ("phone_number",),
    "whatsapp": ("phone_number",),
    "both": ("email", "phone_number"),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """What may be changed of a tenant, as it is stored."""

    id: int
    slug: str
    name: str
    logo_url: str | None
    primary_color: str | None
    domain: str | None
    email: str | None
    phone_number: str | None
    otp_delivery_method: str


async def update_tenant(
    ctx: Context,
    tenant_slug: str,
    changes: Mapping[str, Any],
    plan_name: str | None = None,
    overrides: Mapping[str, int | None] | None = None,
) -> TenantDetails:
    """Set the columns of ``changes`` and, where they are named, plan and overrides of the current subscription.

    Raises TenantNotFoundError, PlanNameNotFoundError, ValidationError for a way to send one-time passwords that has no
    address and for overrides without a subscription; then nothing has changed.
    """
    async with ctx.write() as conn:
        customer = await lock_customer(conn, tenant_slug) if plan_name is not None else None
        profile = await conn.maybe(statements.profile_by_slug_locked, Profile, tenant_slug=tenant_slug)
        if profile is None:
            raise TenantNotFoundError(slug=tenant_slug)
        await _change(conn, ctx, profile, changes)
        tenant = Tenant(profile.id, str(changes.get("name", profile.name)), profile.slug)
        if plan_name is not None:
            await put_on_plan(conn, ctx, tenant, await find_plan(conn, plan_name), customer)
        if overrides:
            await override(conn, ctx, tenant, overrides)
        # Read before the commit: a change that is committed is answered, whatever becomes of the tenant afterwards.
        details = await details_on(conn, ctx, profile.slug)
    if customer is not None:
        ctx.runtime.enqueue(FOLD, customer.id)
    return details


async def update_own_profile(ctx: Context, changes: Mapping[str, Any]) -> TenantDetails:
    """Set these columns of the tenant whose session asks; raises TenantNotFoundError if it was deleted just now."""
    async with ctx.write() as conn:
        profile = await conn.maybe(statements.profile_by_id_locked, Profile, tenant_id=ctx.tenant_id)
        if profile is None:
            raise TenantNotFoundError(slug=ctx.tenant_slug)
        await _change(conn, ctx, profile, changes)
        return await details_on(conn, ctx, profile.slug)


async def _change(conn: WriteConnection, ctx: Context, profile: Profile, changes: Mapping[str, Any]) -> None:
    """Store and record what differs from the stored profile; nothing, where nothing differs."""
    new_values = {name: value for name, value in changes.items() if value != getattr(profile, name)}
    if not new_values:
        return
    if "otp_delivery_method" in new_values:
        _check_reachable(profile, new_values)
    folded = {"folded_name": key(new_values["name"])} if "name" in new_values else {}
    await conn.affected(statements.set_tenant, of_id=profile.id, **new_values, **folded, updated_at=ctx.now())
    differences = {name: {"from": getattr(profile, name), "to": value} for name, value in new_values.items()}
    title = f"Tenant {new_values.get('name', profile.name)} updated"
    metadata = {"slug": profile.slug, "changes": differences}
    await record(conn, ctx, Event(EventType.TENANT_UPDATED, title, tenant_id=profile.id, metadata=metadata))


def _check_reachable(profile: Profile, new_values: Mapping[str, Any]) -> None:
    """Refuse a way of sending one-time passwords for which the tenant has no address: nobody could sign in any more."""
    addresses = _ADDRESSES_OF[new_values["otp_delivery_method"]]
    if not any(new_values.get(name, getattr(profile, name)) for name in addresses):
        needed = " or ".join(name.replace("_", " ") for name in addresses)
        raise ValidationError.of("otp_delivery_method", f"needs the tenant's {needed}", kind="no_address")
