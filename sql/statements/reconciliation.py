"""Comparing what is stored with what Stripe has: customers that are known, and what their tenants' tables hold."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Select, bindparam, select

from sql.hidden import tenant_is_shown
from sql.scope import across_tenants
from sql.tables import checkouts, plans, stripe_customers, subscriptions, tenants


def known_customers(whose: Literal["all", "tenant"]) -> Select[*tuple[object, ...]]:
    """The customers whose tenants are known, some at a time in order of their rows; or one tenant's."""
    found = (
        select(
            stripe_customers.c.id,
            stripe_customers.c.stripe_customer_id,
            tenants.c.id.label("tenant_id"),
            tenants.c.slug,
        )
        .select_from(stripe_customers)
        .join(tenants, tenants.c.id == stripe_customers.c.tenant_id)
        .where(stripe_customers.c.id > bindparam("after_id"), tenant_is_shown)
        .order_by(stripe_customers.c.id)
        .limit(bindparam("page_size"))
    )
    if whose == "tenant":
        return found.where(tenants.c.slug == bindparam("tenant_slug"))
    return across_tenants(found, "the comparison with Stripe is about all tenants")


all_plans = select(plans.c.id, plans.c.name, plans.c.stripe_price_id)

session_states = select(checkouts.c.stripe_session_id, checkouts.c.state).where(
    checkouts.c.tenant_id == bindparam("tenant_id"), checkouts.c.stripe_session_id.is_not(None)
)

# Subscriptions that Stripe is said to have, of tenants of which no customer is known.
linked_without_customer = across_tenants(
    select(tenants.c.id, tenants.c.slug, subscriptions.c.stripe_customer_id, subscriptions.c.stripe_subscription_id)
    .select_from(subscriptions)
    .join(tenants, tenants.c.id == subscriptions.c.tenant_id)
    .outerjoin(stripe_customers, stripe_customers.c.tenant_id == tenants.c.id)
    .where(
        subscriptions.c.ended_at.is_(None),
        subscriptions.c.stripe_customer_id.is_not(None),
        stripe_customers.c.id.is_(None),
        tenant_is_shown,
    )
    .order_by(subscriptions.c.id),
    "the comparison with Stripe is about all tenants",
)

tenant_shown = select(tenants.c.id, tenants.c.slug).where(tenants.c.id == bindparam("tenant_id"), tenant_is_shown)
