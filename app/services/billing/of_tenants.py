"""Subscriptions of many tenants, and the plans that they have, with one statement each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.services.billing.plans import Plan
from app.services.directory.visible import sees_named
from sql.lists import tenant_relations as statements


class TenantSubscription(NamedTuple):
    """The current subscription of a tenant; an override that is None leaves the plan's figure, which then holds."""

    tenant_slug: str
    id: int
    plan_id: int
    state: str
    seats_used: int
    max_devices: int | None
    max_devices_override: int | None
    monthly_run_quota: int
    monthly_run_quota_override: int | None
    current_period_start: datetime | None
    current_period_end: datetime | None
    grace_until: datetime | None
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    created_at: datetime
    updated_at: datetime


async def subscriptions_of_tenants(ctx: Context, slugs: Sequence[str]) -> list[TenantSubscription | None]:
    """The current subscriptions of the tenants with these slugs that the caller sees, in the order of the slugs."""
    batch = as_batch([{"slug": slug} for slug in slugs if sees_named(ctx, slug)])
    async with ctx.read() as conn:
        found = await conn.many(statements.subscriptions_of_tenants, TenantSubscription, batch=batch)
    by_slug = {one.tenant_slug: one for one in found}
    return [by_slug.get(slug) for slug in slugs]


async def plans_by_id(ctx: Context, ids: Sequence[int]) -> list[Plan | None]:
    """The plans with these ids, in the order of the ids."""
    batch = as_batch([{"id": plan_id} for plan_id in ids])
    async with ctx.read() as conn:
        found = await conn.many(statements.plans_by_ids, Plan, batch=batch)
    by_id = {plan.id: plan for plan in found}
    return [by_id.get(plan_id) for plan_id in ids]
