"""The inbox of what Stripe tells: storing an event once, whose it is, what waits, what has failed, what may go."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    String,
    Text,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from sql.dialect import insert
from sql.hidden import hidden_too
from sql.removal import some_of
from sql.scope import across_tenants
from sql.tables import billing_facts, checkouts, stripe_customers
from sql.tables.columns import Instant

_EVENT: dict[str, type[TypeEngine[Any]]] = {
    "reference": String,
    "type": String,
    "object_id": String,
    "happened_at": Instant,
    "payload": Text,
    "received_at": Instant,
}
_event: tuple[BindParameter[Any], ...] = tuple(bindparam(name, type_=kind) for name, kind in _EVENT.items())

# The event of a customer that is known already, with one statement; nothing where it is not, or the event is.
insert_event = across_tenants(
    hidden_too(
        insert(billing_facts)
        .from_select(
            ["customer_id", "source", *_EVENT],
            select(stripe_customers.c.id, literal("stripe", String), *_event).where(
                stripe_customers.c.stripe_customer_id == bindparam("customer")
            ),
        )
        .on_conflict_do_nothing(index_elements=[billing_facts.c.reference])
        .returning(billing_facts.c.customer_id),
        "what is told of a hidden tenant goes with it",
    ),
    "Stripe names its customer and no tenant",
)

# The same for an event whose customer was looked up, is new, or that is about none.
insert_event_of = (
    insert(billing_facts)
    .values(source="stripe")
    .on_conflict_do_nothing(index_elements=[billing_facts.c.reference])
    .returning(billing_facts.c.id)
)

insert_customer = across_tenants(
    hidden_too(
        insert(stripe_customers).on_conflict_do_nothing(index_elements=[stripe_customers.c.stripe_customer_id]),
        "nobody knows yet whose it is",
    ),
    "nobody knows yet whose it is",
)

customer_by_name = across_tenants(
    hidden_too(
        select(stripe_customers.c.id).where(stripe_customers.c.stripe_customer_id == bindparam("customer")),
        "what is told of a hidden tenant goes with it",
    ),
    "Stripe names its customer and no tenant",
)

# Whose an object is that names no customer: by another fact about it, or by the payment of a purchase.
customer_by_object = across_tenants(
    hidden_too(
        select(
            func.coalesce(
                select(func.min(billing_facts.c.customer_id))
                .where(billing_facts.c.object_id == bindparam("object_id"))
                .scalar_subquery(),
                select(func.min(stripe_customers.c.id))
                .select_from(checkouts)
                .join(stripe_customers, stripe_customers.c.tenant_id == checkouts.c.tenant_id)
                .where(checkouts.c.stripe_payment_intent_id == bindparam("payment_intent_id"))
                .scalar_subquery(),
                select(func.min(stripe_customers.c.id))
                .where(stripe_customers.c.tenant_id == bindparam("named_tenant_id", type_=BigInteger))
                .scalar_subquery(),
                0,
            ).label("customer_id")
        ),
        "what is told of a hidden tenant goes with it",
    ),
    "Stripe names neither a customer nor a tenant",
)

_is_waiting = and_(
    billing_facts.c.handled_at.is_(None),
    billing_facts.c.customer_id.is_not(None),
    or_(billing_facts.c.next_attempt_at.is_(None), billing_facts.c.next_attempt_at <= bindparam("now")),
    billing_facts.c.received_at <= bindparam("before"),
)

# The customers of which something waits, those that wait longest first.
waiting_customers = (
    select(billing_facts.c.customer_id)
    .where(_is_waiting)
    .group_by(billing_facts.c.customer_id)
    .order_by(func.min(billing_facts.c.id))
    .limit(bindparam("max_rows"))
)

# What waits until somebody says whose it is has neither been tried nor is due, and is no backlog.
_is_due_or_failed = and_(
    billing_facts.c.handled_at.is_(None),
    billing_facts.c.customer_id.is_not(None),
    or_(billing_facts.c.next_attempt_at.is_(None), billing_facts.c.attempts > 0),
)

inbox = select(
    func.count().label("waiting"),
    func.min(billing_facts.c.received_at).label("oldest_received_at"),
    func.coalesce(func.sum(case((billing_facts.c.attempts > 0, 1), else_=0)), 0).label("failing"),
).where(_is_due_or_failed)

# What an operator has handled again: everything of a tenant, one event, or what has failed.
_again = {"handled_at": null(), "attempts": 0, "failure": null(), "next_attempt_at": null()}

_customers_of_tenant = select(stripe_customers.c.id).where(stripe_customers.c.tenant_id == bindparam("of_tenant_id"))

replay_tenant = (
    update(billing_facts)
    .where(billing_facts.c.customer_id.in_(_customers_of_tenant))
    .values(_again)
    .returning(billing_facts.c.customer_id)
)

replay_event = (
    update(billing_facts)
    .where(billing_facts.c.reference == bindparam("of_reference"), billing_facts.c.customer_id.is_not(None))
    .values(_again)
    .returning(billing_facts.c.customer_id)
)

replay_failed = (
    update(billing_facts)
    .where(billing_facts.c.attempts > 0, billing_facts.c.handled_at.is_(None), billing_facts.c.customer_id.is_not(None))
    .values(_again)
    .returning(billing_facts.c.customer_id)
)

# What has been handled or given up and rests nothing any more.
_is_over = or_(
    and_(billing_facts.c.handled_at < bindparam("before"), billing_facts.c.is_current == false()),
    and_(billing_facts.c.handled_at.is_(None), billing_facts.c.received_at < bindparam("before")),
)
delete_old_facts = some_of(billing_facts, _is_over)

# Codes that nobody has looked at in time; the rows say that there were some.
forget_codes = across_tenants(
    hidden_too(
        update(checkouts)
        .where(checkouts.c.sealed_codes.is_not(None), checkouts.c.completed_at < bindparam("before"))
        .values(sealed_codes=null()),
        "it removes what a deletion would remove later",
    ),
    "retention removes what nobody has looked at, of all tenants",
)
