"""Graces and trials: those that have begun or will end, of which tenants are told, and those that are over."""

from __future__ import annotations

from sqlalchemy import Select, Update, and_, bindparam, case, literal, or_, select, update

from sql.dialect import referenced_column
from sql.hidden import hidden_too
from sql.scope import across_tenants
from sql.tables import stripe_customers, subscriptions, tenants

_SCHEDULE = "a schedule looks at the subscriptions of all tenants"
_NO_HIDDEN = "a hidden tenant has no subscription"

_in_grace = and_(
    subscriptions.c.state == literal("past_due", literal_execute=True),
    subscriptions.c.ended_at.is_(None),
    subscriptions.c.grace_until.is_not(None),
)
_in_trial = and_(
    subscriptions.c.state == literal("trialing", literal_execute=True),
    subscriptions.c.ended_at.is_(None),
    subscriptions.c.trial_ends_at.is_not(None),
)
_tenant = (
    subscriptions.c.tenant_id,
    referenced_column(tenants.c.slug, tenants.c.id, subscriptions.c.tenant_id).label("slug"),
    referenced_column(tenants.c.name, tenants.c.id, subscriptions.c.tenant_id).label("name"),
)


def _told(found: Select[int], **told: object) -> Update:
    """Note that the tenants of these subscriptions are told, each once, and return them."""
    moment = subscriptions.c.grace_until if "told_of_grace" in told else subscriptions.c.trial_ends_at
    return across_tenants(
        hidden_too(
            update(subscriptions)
            .where(subscriptions.c.id.in_(found))
            .values(**told)
            .returning(*_tenant, moment.label("ends_at")),
            _NO_HIDDEN,
        ),
        _SCHEDULE,
    )


# The ids are found and locked first, so that two schedules at the same time do not tell a tenant twice.
tell_of_graces = _told(
    select(subscriptions.c.id)
    .where(
        _in_grace,
        subscriptions.c.grace_until > bindparam("billing_now"),
        subscriptions.c.told_of_grace.is_distinct_from(subscriptions.c.grace_until),
    )
    .order_by(subscriptions.c.id)
    .limit(bindparam("max_rows"))
    .with_for_update(),
    told_of_grace=subscriptions.c.grace_until,
)

tell_of_trials = _told(
    select(subscriptions.c.id)
    .where(
        _in_trial,
        subscriptions.c.trial_ends_at > bindparam("billing_now"),
        subscriptions.c.trial_ends_at <= bindparam("soon"),
        subscriptions.c.told_of_trial.is_distinct_from(subscriptions.c.trial_ends_at),
    )
    .order_by(subscriptions.c.id)
    .limit(bindparam("max_rows"))
    .with_for_update(),
    told_of_trial=subscriptions.c.trial_ends_at,
)

_end = case((subscriptions.c.state == "past_due", subscriptions.c.grace_until), else_=subscriptions.c.trial_ends_at)

over = across_tenants(
    hidden_too(
        select(
            subscriptions.c.id,
            subscriptions.c.tenant_id,
            tenants.c.slug,
            tenants.c.name,
            subscriptions.c.state,
            subscriptions.c.stripe_subscription_id,
            stripe_customers.c.id.label("customer_id"),
            _end.label("over_at"),
        )
        .select_from(subscriptions)
        .join(tenants, tenants.c.id == subscriptions.c.tenant_id)
        .outerjoin(stripe_customers, stripe_customers.c.tenant_id == subscriptions.c.tenant_id)
        .where(
            or_(
                and_(_in_grace, subscriptions.c.grace_until <= bindparam("billing_now")),
                and_(_in_trial, subscriptions.c.trial_ends_at <= bindparam("billing_now")),
            )
        )
        .order_by(subscriptions.c.id)
        .limit(bindparam("max_rows")),
        _NO_HIDDEN,
    ),
    _SCHEDULE,
)

# For a subscription of which Stripe knows nothing, and as long as it still stands as it was found.
end_unpaid = (
    update(subscriptions)
    .where(
        subscriptions.c.tenant_id == bindparam("of_tenant_id"),
        subscriptions.c.id == bindparam("of_id"),
        subscriptions.c.ended_at.is_(None),
        subscriptions.c.state == bindparam("of_state"),
        _end == bindparam("of_moment"),
    )
    .values(state="unpaid", updated_at=bindparam("now"))
)
