"""Plans and subscriptions; the seat counter moves only by the conditional statements here."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, func, insert, not_, or_, select, update

from sql.tables import devices, plans, subscriptions

LICENSED_STATES = ("active", "trialing")

plan_by_name = select(plans).where(plans.c.name == bindparam("name"))

plans_by_quota = select(plans).order_by(plans.c.monthly_run_quota, plans.c.id)

insert_plan = insert(plans).returning(plans.c.id)

# Sets the columns that are passed; in a change the rows are therefore chosen by parameters named ``of_...``.
set_plan = update(plans).where(plans.c.id == bindparam("of_id"))

_current = and_(subscriptions.c.tenant_id == bindparam("of_tenant_id"), subscriptions.c.ended_at.is_(None))

current_subscription = (
    select(
        subscriptions.c.id,
        subscriptions.c.state,
        subscriptions.c.seats_used,
        subscriptions.c.stripe_customer_id,
        subscriptions.c.stripe_subscription_id,
        plans.c.name.label("plan_name"),
        plans.c.monthly_run_quota,
        plans.c.max_devices,
    )
    .join(plans, plans.c.id == subscriptions.c.plan_id)
    .where(subscriptions.c.tenant_id == bindparam("tenant_id"), subscriptions.c.ended_at.is_(None))
)

# A tenant that had a subscription before keeps its devices, and each of them its seat.
insert_subscription = (
    insert(subscriptions)
    .values(
        seats_used=select(func.count())
        .select_from(devices)
        .where(devices.c.tenant_id == bindparam("of_tenant_id"), not_(devices.c.is_revoked))
        .scalar_subquery()
    )
    .returning(subscriptions.c.id)
)

set_subscription = update(subscriptions).where(_current)

_plan = plans.c.id == subscriptions.c.plan_id
_max_devices = select(plans.c.max_devices).where(_plan).scalar_subquery()

# Takes no seat where :seats is 0, and then only checks the state and answers what the plan grants.
take_seats = (
    update(subscriptions)
    .where(
        _current,
        subscriptions.c.state.in_(LICENSED_STATES),
        or_(
            bindparam("seats") == 0,
            _max_devices.is_(None),
            subscriptions.c.seats_used + bindparam("seats") <= _max_devices,
        ),
    )
    .values(seats_used=subscriptions.c.seats_used + bindparam("seats"))
    .returning(
        subscriptions.c.state,
        select(plans.c.name).where(_plan).scalar_subquery().label("plan_name"),
        select(plans.c.monthly_run_quota).where(_plan).scalar_subquery().label("monthly_run_quota"),
    )
)

free_seat = (
    update(subscriptions)
    .where(_current, subscriptions.c.seats_used > 0)
    .values(seats_used=subscriptions.c.seats_used - 1)
)
