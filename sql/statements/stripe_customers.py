"""Customers at Stripe: whose each is, and locking one before its tenant."""

from __future__ import annotations

from sqlalchemy import bindparam, exists, select, update

from sql.dialect import insert
from sql.hidden import hidden_too, tenant_is_shown
from sql.scope import across_tenants
from sql.tables import stripe_customers, tenants

# Before the tenant is locked: whoever folds takes the locks in this order. FOR NO KEY UPDATE, so that what Stripe tells
# meanwhile can still be stored.
customer_by_slug_locked = (
    select(stripe_customers.c.id, stripe_customers.c.stripe_customer_id)
    .select_from(stripe_customers)
    .join(tenants, tenants.c.id == stripe_customers.c.tenant_id)
    .where(tenants.c.slug == bindparam("tenant_slug"), tenant_is_shown)
    .with_for_update(key_share=True, of=stripe_customers)
)

customer_of_tenant = select(stripe_customers.c.id, stripe_customers.c.stripe_customer_id).where(
    stripe_customers.c.tenant_id == bindparam("tenant_id")
)

# Does nothing where Stripe's customer, or another one of the tenant, is known already.
insert_customer = across_tenants(
    hidden_too(
        insert(stripe_customers).on_conflict_do_nothing(), "its tenant is found and kept in the same transaction"
    ),
    "the row says whose customer it is",
)

_others = stripe_customers.alias("others")

# Stripe may tell of a new customer before it is known here whose it is.
claim_customer = across_tenants(
    hidden_too(
        update(stripe_customers)
        .where(
            stripe_customers.c.stripe_customer_id == bindparam("customer_id"),
            stripe_customers.c.tenant_id.is_(None),
            ~exists().where(_others.c.tenant_id == bindparam("of_tenant_id")),
        )
        .values(tenant_id=bindparam("of_tenant_id")),
        "its tenant is found and kept in the same transaction",
    ),
    "a customer of nobody becomes the tenant's",
)

# What Stripe tells of it from now on waits until somebody says whose it is.
release_customer = (
    update(stripe_customers)
    .where(
        stripe_customers.c.tenant_id == bindparam("of_tenant_id"),
        stripe_customers.c.stripe_customer_id != bindparam("customer_id"),
    )
    .values(tenant_id=None)
)
