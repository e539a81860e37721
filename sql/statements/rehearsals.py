"""A tenant's history at Stripe: read for a rehearsal, put into a scratch database, and what has followed from it."""

from __future__ import annotations

from sqlalchemy import bindparam, func, insert, select

from sql.hidden import hidden_too, tenant_is_shown
from sql.scope import across_tenants
from sql.tables import (
    activation_codes,
    billing_facts,
    checkouts,
    invoices,
    payment_methods,
    plans,
    stripe_customers,
    subscriptions,
    tenants,
)

customer_of_tenant = (
    select(
        stripe_customers.c.id,
        stripe_customers.c.stripe_customer_id,
        stripe_customers.c.state_hash,
        tenants.c.id.label("tenant_id"),
    )
    .join(tenants, tenants.c.id == stripe_customers.c.tenant_id)
    .where(tenants.c.slug == bindparam("tenant_slug"), tenant_is_shown)
)

all_plans = select(plans).order_by(plans.c.id)

# As they were before anything had followed.
opened_checkouts = (
    select(
        checkouts.c.id,
        checkouts.c.tenant_id,
        checkouts.c.kind,
        checkouts.c.plan_id,
        checkouts.c.quantity,
        checkouts.c.label,
        checkouts.c.amount,
        checkouts.c.currency,
        checkouts.c.stripe_session_id,
        checkouts.c.expires_at,
        checkouts.c.created_at,
        checkouts.c.updated_at,
    )
    .where(checkouts.c.tenant_id == bindparam("tenant_id"), checkouts.c.kind != "plan_change")
    .order_by(checkouts.c.id)
)

insert_plans = insert(plans)

insert_tenant = insert(tenants)

insert_checkouts = insert(checkouts)

insert_customer = across_tenants(
    hidden_too(insert(stripe_customers), "a scratch database has this tenant alone"),
    "a scratch database has this tenant alone",
)

# What follows, without what is random or tells only when it was written.
subscription_outcome = select(
    subscriptions.c.plan_id,
    subscriptions.c.state,
    subscriptions.c.current_period_start,
    subscriptions.c.current_period_end,
    subscriptions.c.trial_ends_at,
    subscriptions.c.grace_until,
    subscriptions.c.cancel_at_period_end,
    subscriptions.c.stripe_customer_id,
    subscriptions.c.stripe_subscription_id,
    subscriptions.c.ended_at,
).where(subscriptions.c.tenant_id == bindparam("tenant_id"))

invoice_outcome = select(
    invoices.c.stripe_invoice_id,
    invoices.c.state,
    invoices.c.amount,
    invoices.c.amount_refunded,
    invoices.c.currency,
    invoices.c.description,
    invoices.c.url,
    invoices.c.card_last4,
    invoices.c.issued_at,
    invoices.c.paid_at,
).where(invoices.c.tenant_id == bindparam("tenant_id"))

payment_method_outcome = select(
    payment_methods.c.stripe_payment_method_id,
    payment_methods.c.type,
    payment_methods.c.brand,
    payment_methods.c.last4,
    payment_methods.c.exp_month,
    payment_methods.c.exp_year,
    payment_methods.c.is_default,
).where(payment_methods.c.tenant_id == bindparam("tenant_id"))

# Whether there are codes to be looked at is part of it; which they are is random.
checkout_outcome = select(
    checkouts.c.kind,
    checkouts.c.state,
    checkouts.c.quantity,
    checkouts.c.label,
    checkouts.c.amount,
    checkouts.c.currency,
    checkouts.c.stripe_session_id,
    checkouts.c.stripe_payment_intent_id,
    checkouts.c.sealed_codes.is_(None).label("has_no_codes"),
    checkouts.c.amount_refunded,
    checkouts.c.codes_taken_back,
    checkouts.c.codes_kept,
    checkouts.c.completed_at,
).where(checkouts.c.tenant_id == bindparam("tenant_id"))

_is_good = activation_codes.c.revoked_at.is_(None)
code_outcome = (
    select(activation_codes.c.label, _is_good.label("is_good"), func.count().label("codes"))
    .where(activation_codes.c.tenant_id == bindparam("tenant_id"))
    .group_by(activation_codes.c.label, _is_good)
)

waiting_facts = select(func.count()).select_from(billing_facts).where(billing_facts.c.handled_at.is_(None))
