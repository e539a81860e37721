"""Changing tenants: what differs from what is stored is written, and recorded in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.context import Context
from app.errors import ContactChangeWaitsError, TenantNotFoundError
from app.services.billing.customers import lock_customer
from app.services.billing.fact_log import FOLD
from app.services.billing.plans import find_plan
from app.services.billing.subscriptions import override, put_on_plan
from app.services.directory.lookup import Tenant
from app.services.tenants.contact_changes import Waiting, ask_for_confirmation, tell_of_contacts
from app.services.tenants.contact_messages import fields_in_words, hours_until
from app.services.tenants.deliveries import enqueue_deliveries
from app.services.tenants.details import TenantDetails, details_on
from app.services.tenants.profile import Profile, store_changes
from sql.statements import tenant_changes as statements


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
        tenant = Tenant(profile.id, str(changes.get("name", profile.name)), profile.slug)
        told = await tell_of_contacts(conn, ctx, profile, profile.contacts(changes))
        await store_changes(conn, ctx, profile, changes)
        if plan_name is not None:
            await put_on_plan(conn, ctx, tenant, await find_plan(conn, plan_name), customer)
        if overrides:
            await override(conn, ctx, tenant, overrides)
        # Read before the commit: a change that is committed is answered, whatever becomes of the tenant afterwards.
        details = await details_on(conn, ctx, profile.slug)
    enqueue_deliveries(ctx, told)
    if customer is not None:
        ctx.runtime.enqueue(FOLD, customer.id)
    return details


async def update_own_profile(ctx: Context, changes: Mapping[str, Any]) -> TenantDetails:
    """Set these columns of the tenant whose session asks; where one-time passwords go waits for its confirmation.

    A tenant that has no address at all gets its first one at once. Raises ContactChangeWaitsError where something
    waits, with everything else stored; whoever has stolen a session cannot confirm it. Raises TenantNotFoundError if
    the tenant was deleted just now, RateLimitedError for too many changes that have to be confirmed; then nothing has
    changed.
    """
    waiting: Waiting | None = None
    async with ctx.write() as conn:
        profile = await conn.maybe(statements.profile_by_id_locked, Profile, tenant_id=ctx.tenant_id)
        if profile is None:
            raise TenantNotFoundError(slug=ctx.tenant_slug)
        contacts = profile.contacts(changes)
        if contacts and (profile.email or profile.phone_number):
            waiting = await ask_for_confirmation(conn, ctx, profile, contacts)
            changes = {name: value for name, value in changes.items() if name not in contacts}
        await store_changes(conn, ctx, profile, changes)
        details = await details_on(conn, ctx, profile.slug)
    if waiting is not None:
        enqueue_deliveries(ctx, waiting.deliveries)
        what, hours = fields_in_words(waiting.fields), hours_until(waiting.expires_at, ctx.now())
        raise ContactChangeWaitsError(what=what, asked_at=waiting.asked_at, hours=hours)
    return details
