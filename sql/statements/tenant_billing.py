"""A tenant's billing page: its subscription with its price, what it has paid, and what it pays with."""

from __future__ import annotations

from sqlalchemy import String, and_, bindparam, case, cast, literal, null, select, union_all

from sql import granted
from sql.tables import checkouts, invoices, payment_methods, plans, stripe_prices, subscriptions

subscription_of_tenant = (
    select(
        plans.c.name.label("plan_name"),
        granted.runs.label("monthly_run_quota"),
        plans.c.stripe_price_id,
        subscriptions.c.state,
        subscriptions.c.stripe_customer_id,
        subscriptions.c.stripe_subscription_id,
        subscriptions.c.current_period_start,
        subscriptions.c.current_period_end,
        subscriptions.c.grace_until,
        subscriptions.c.trial_ends_at,
        subscriptions.c.cancel_at_period_end,
        stripe_prices.c.amount,
        stripe_prices.c.currency,
        stripe_prices.c.recurring_interval,
    )
    .select_from(subscriptions)
    .join(plans, plans.c.id == subscriptions.c.plan_id)
    .outerjoin(stripe_prices, stripe_prices.c.stripe_price_id == plans.c.stripe_price_id)
    .where(subscriptions.c.tenant_id == bindparam("tenant_id"), subscriptions.c.ended_at.is_(None))
)

# Codes are paid for without an invoice.
_paid = union_all(
    select(
        literal("invoice").label("kind"),
        invoices.c.id,
        invoices.c.issued_at.label("at"),
        invoices.c.amount,
        invoices.c.amount_refunded,
        invoices.c.currency,
        cast(invoices.c.state, String).label("state"),
        invoices.c.description,
        invoices.c.url,
        invoices.c.card_last4,
    ).where(invoices.c.tenant_id == bindparam("tenant_id")),
    select(
        literal("purchase").label("kind"),
        checkouts.c.id,
        checkouts.c.completed_at.label("at"),
        checkouts.c.amount,
        checkouts.c.amount_refunded,
        checkouts.c.currency,
        literal("paid").label("state"),
        cast(checkouts.c.quantity, String)
        .concat(case((checkouts.c.quantity == 1, literal(" activation code")), else_=literal(" activation codes")))
        .label("description"),
        cast(null(), String).label("url"),
        cast(null(), String).label("card_last4"),
    ).where(
        checkouts.c.tenant_id == bindparam("tenant_id"),
        and_(
            checkouts.c.kind == "codes",
            checkouts.c.state.in_(("paid", "refunded")),
            checkouts.c.completed_at.is_not(None),
        ),
    ),
).subquery("paid")

payments_of_tenant = (
    select(_paid).order_by(_paid.c.at.desc(), _paid.c.kind, _paid.c.id.desc()).limit(bindparam("max_rows"))
)

payment_methods_of_tenant = (
    select(
        payment_methods.c.stripe_payment_method_id,
        payment_methods.c.type,
        payment_methods.c.brand,
        payment_methods.c.last4,
        payment_methods.c.exp_month,
        payment_methods.c.exp_year,
        payment_methods.c.is_default,
    )
    .where(payment_methods.c.tenant_id == bindparam("tenant_id"))
    .order_by(payment_methods.c.is_default.desc(), payment_methods.c.id)
)
