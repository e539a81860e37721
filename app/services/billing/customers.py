"""Customers at Stripe: whose each is, and the order in which a customer and its tenant are locked."""

from __future__ import annotations

from typing import NamedTuple

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import SubscriptionConflictError
from sql.statements import stripe_customers as statements


class Customer(NamedTuple):
    """A tenant's customer at Stripe: the row here, and Stripe's id."""

    id: int
    stripe_customer_id: str


async def lock_customer(conn: WriteConnection, tenant_slug: str) -> Customer | None:
    """The tenant's customer, locked until this transaction ends; None without one.

    Whoever changes a tenant's subscription takes this lock first, then the tenant's, in the order of whoever folds.
    """
    return await conn.maybe(statements.customer_by_slug_locked, Customer, tenant_slug=tenant_slug)


async def keep_customer(conn: WriteConnection, ctx: Context, tenant_id: int, stripe_customer_id: str) -> Customer:
    """The tenant's customer: this one, unless the tenant has got another meanwhile."""
    row = {"tenant_id": tenant_id, "stripe_customer_id": stripe_customer_id, "created_at": ctx.now()}
    await conn.affected(statements.insert_customer, **row)
    await conn.affected(statements.claim_customer, customer_id=stripe_customer_id, of_tenant_id=tenant_id)
    customer = await conn.maybe(statements.customer_of_tenant, Customer, tenant_id=tenant_id)
    if customer is None:
        raise SubscriptionConflictError(kind="customer", reference=stripe_customer_id)
    return customer


async def link_customer(conn: WriteConnection, ctx: Context, tenant_id: int, stripe_customer_id: str) -> Customer:
    """Make this the tenant's customer in place of another one; raises SubscriptionConflictError if it is another's."""
    key = {"customer_id": stripe_customer_id, "of_tenant_id": tenant_id}
    await conn.affected(statements.release_customer, **key)
    return await keep_customer(conn, ctx, tenant_id, stripe_customer_id)
