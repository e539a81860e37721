"""What tenants set out to pay for: one row for each session at Stripe, committed before Stripe is asked for it."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Select, String, and_, bindparam, case, exists, func, insert, literal, select, update

from sql.hidden import hidden_too, tenant_is_shown
from sql.scope import across_tenants
from sql.tables import checkouts, plans, stripe_customers, subscriptions, tenants

_current = and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None))

# A tenant as whoever pays: its subscription and its customer at Stripe, where it has them.
payer = (
    select(
        tenants.c.id.label("tenant_id"),
        tenants.c.slug,
        tenants.c.name,
        tenants.c.email,
        subscriptions.c.state,
        subscriptions.c.plan_id,
        subscriptions.c.stripe_subscription_id,
        subscriptions.c.cancel_at_period_end,
        subscriptions.c.current_period_end,
        subscriptions.c.updated_at.label("changed_at"),
        stripe_customers.c.id.label("customer_row_id"),
        func.coalesce(stripe_customers.c.stripe_customer_id, subscriptions.c.stripe_customer_id).label("customer_id"),
    )
    .select_from(tenants)
    .outerjoin(subscriptions, _current)
    .outerjoin(stripe_customers, stripe_customers.c.tenant_id == tenants.c.id)
    .where(tenants.c.id == bindparam("tenant_id"), tenant_is_shown)
)

plan_by_id = select(plans.c.id, plans.c.name, plans.c.stripe_price_id).where(plans.c.id == bindparam("plan_id"))

_is_unfinished = checkouts.c.state.in_(("opening", "open"))
_of_tenant = checkouts.c.tenant_id == bindparam("tenant_id")
_found = (
    checkouts.c.id,
    checkouts.c.kind,
    checkouts.c.state,
    checkouts.c.plan_id,
    checkouts.c.stripe_session_id,
    checkouts.c.url,
    checkouts.c.amount,
    checkouts.c.asked_until,
    checkouts.c.expires_at,
)

# Locked, because whoever asks Stripe for one opens it without the tenant's lock.
unfinished_plans = (
    select(*_found)
    .where(_of_tenant, checkouts.c.kind != "codes", _is_unfinished)
    .order_by(checkouts.c.id)
    .with_for_update()
)

unfinished_codes = (
    select(*_found)
    .where(
        _of_tenant,
        checkouts.c.kind == "codes",
        _is_unfinished,
        checkouts.c.quantity == bindparam("quantity"),
        checkouts.c.label.is_not_distinct_from(bindparam("label", type_=String)),
        checkouts.c.created_at > bindparam("since"),
    )
    .order_by(checkouts.c.id.desc())
    .limit(1)
    .with_for_update()
)

recent_checkouts = select(func.count().label("checkouts"), func.min(checkouts.c.created_at).label("oldest")).where(
    _of_tenant, checkouts.c.created_at > bindparam("since")
)

checkout = select(*_found).where(_of_tenant, checkouts.c.id == bindparam("checkout_id"))

insert_checkout = insert(checkouts).returning(checkouts.c.id)

_one = and_(checkouts.c.tenant_id == bindparam("of_tenant_id"), checkouts.c.id == bindparam("of_id"))

ask_again = (
    update(checkouts)
    .where(_one, checkouts.c.state == "opening")
    .values(asked_until=bindparam("until"), updated_at=bindparam("now"))
)

# Changes nothing once another choice has replaced it, or its tenant is being deleted.
open_checkout = (
    update(checkouts)
    .where(
        _one,
        checkouts.c.state == "opening",
        exists().where(tenants.c.id == bindparam("of_tenant_id"), tenant_is_shown),
    )
    .values(
        state="open",
        kind=bindparam("new_kind"),
        stripe_session_id=bindparam("session_id"),
        url=bindparam("session_url"),
        asked_until=None,
        expires_at=bindparam("until"),
        updated_at=bindparam("now"),
    )
)

# What Stripe has said about a session stands above this.
close_checkout = (
    update(checkouts).where(_one, _is_unfinished).values(state=bindparam("outcome"), updated_at=bindparam("now"))
)

_plan_is_held = exists().where(
    subscriptions.c.tenant_id == checkouts.c.tenant_id,
    subscriptions.c.plan_id == checkouts.c.plan_id,
    subscriptions.c.ended_at.is_(None),
)

# Stripe tells of no end of a page that asks to confirm a change; the change itself says that it was confirmed.
close_expired = across_tenants(
    hidden_too(
        update(checkouts)
        .where(_is_unfinished, checkouts.c.expires_at < bindparam("before"))
        .values(
            state=case(
                (and_(checkouts.c.kind == "plan_change", _plan_is_held), literal("paid")), else_=literal("expired")
            ),
            updated_at=bindparam("now"),
        ),
        "it says the same of whatever is left of them",
    ),
    "a schedule closes the sessions of all tenants whose time is over",
)

_purchase = (
    checkouts.c.id,
    checkouts.c.state,
    checkouts.c.quantity,
    checkouts.c.label,
    checkouts.c.amount,
    checkouts.c.amount_refunded,
    checkouts.c.currency,
    checkouts.c.codes_taken_back,
    checkouts.c.codes_kept,
    checkouts.c.created_at,
    checkouts.c.completed_at,
    checkouts.c.codes_shown_at,
    checkouts.c.sealed_codes.is_not(None).label("has_codes"),
)


def purchases(page: Literal["first", "next"]) -> Select[*tuple[object, ...]]:
    """A page of a tenant's purchases of codes, newest first; the next one goes on below the id ``before``."""
    found = select(*_purchase).where(_of_tenant, checkouts.c.kind == "codes")
    if page == "next":
        found = found.where(checkouts.c.id < bindparam("before"))
    return found.order_by(checkouts.c.id.desc()).limit(bindparam("page_size"))


purchase_locked = (
    select(checkouts.c.id, checkouts.c.state, checkouts.c.quantity, checkouts.c.sealed_codes)
    .where(_of_tenant, checkouts.c.id == bindparam("purchase_id"), checkouts.c.kind == "codes")
    .with_for_update()
)

# Of several that show them at the same moment one finds them.
take_codes = (
    update(checkouts)
    .where(_one, checkouts.c.sealed_codes.is_not(None))
    .values(sealed_codes=None, codes_shown_at=bindparam("now"), updated_at=bindparam("now"))
)
