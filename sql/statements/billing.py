"""Plans and subscriptions; the seat counter moves only by the conditional statements here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, insert, literal_column, not_, or_, select, update

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

_max_devices = select(plans.c.max_devices).where(plans.c.id == subscriptions.c.plan_id).scalar_subquery()


def _of_plan(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A plan's column beside the subscription that is returned.

    Spelt out, because SQLAlchemy drops the table names inside RETURNING on SQLite, and ``id`` would be anybody's.
    """
    name = literal_column(f"plans.{column.key}", column.type)
    joined = literal_column("plans.id") == literal_column("subscriptions.plan_id")
    return select(name).select_from(plans).where(joined).scalar_subquery().label(column.key)


take_seat = (
    update(subscriptions)
    .where(
        _current,
        subscriptions.c.state.in_(LICENSED_STATES),
        or_(_max_devices.is_(None), subscriptions.c.seats_used < _max_devices),
    )
    .values(seats_used=subscriptions.c.seats_used + 1)
    .returning(subscriptions.c.state, _of_plan(plans.c.name), _of_plan(plans.c.monthly_run_quota))
)

free_seat = (
    update(subscriptions)
    .where(_current, subscriptions.c.seats_used > 0)
    .values(seats_used=subscriptions.c.seats_used - 1)
)
