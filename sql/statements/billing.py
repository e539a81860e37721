"""Plans and subscriptions; only the conditional statements here change the seat counter."""

from __future__ import annotations

from sqlalchemy import BigInteger, and_, bindparam, func, insert, or_, select, tuple_, update

from sql import granted
from sql.counting import PAGE_SIZE, page_with_total
from sql.dialect import batch_rows, referenced_column
from sql.hidden import hidden_too
from sql.tables import devices, plans, subscriptions

plan_by_name = select(plans).where(plans.c.name == bindparam("name"))

plan_by_id_locked = select(plans).where(plans.c.id == bindparam("plan_id")).with_for_update()

plans_by_quota = select(plans).order_by(plans.c.monthly_run_quota, plans.c.id)

# Whether a tenant's plan lets it revoke its devices by itself; no row without a subscription.
may_revoke = (
    select(plans.c.tenant_may_revoke)
    .join(subscriptions, subscriptions.c.plan_id == plans.c.id)
    .where(subscriptions.c.tenant_id == bindparam("tenant_id"), subscriptions.c.ended_at.is_(None))
)

_behind_plan = tuple_(bindparam("cursor_quota", type_=BigInteger), bindparam("cursor_id", type_=BigInteger))
_plan_page = (
    select(plans.c.id)
    .where(tuple_(plans.c.monthly_run_quota, plans.c.id) > _behind_plan)
    .order_by(plans.c.monthly_run_quota, plans.c.id)
    .limit(PAGE_SIZE)
    .subquery("page")
)
_plan_total, _plan_source = page_with_total(select(func.count()).select_from(plans).scalar_subquery(), _plan_page)
# A page of them behind a quota and an id, with their total.
plan_page = (
    select(_plan_total, *plans.c)
    .select_from(_plan_source)
    .outerjoin(plans, plans.c.id == _plan_page.c.id)
    .order_by(plans.c.monthly_run_quota, plans.c.id)
)

insert_plan = insert(plans).returning(plans.c.id)

# Sets the columns that are passed as parameters; parameters of a WHERE clause are named ``of_...`` to differ from them.
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
        granted.runs.label("monthly_run_quota"),
        granted.devices.label("max_devices"),
        subscriptions.c.monthly_run_quota_override,
        subscriptions.c.max_devices_override,
    )
    .join(plans, plans.c.id == subscriptions.c.plan_id)
    .where(subscriptions.c.tenant_id == bindparam("tenant_id"), subscriptions.c.ended_at.is_(None))
)

# A tenant whose subscription has ended keeps its devices; each that holds a seat takes one of the new subscription.
insert_subscription = (
    insert(subscriptions)
    .values(
        seats_used=select(func.count())
        .select_from(devices)
        .where(devices.c.tenant_id == bindparam("of_tenant_id"), devices.c.seat_held)
        .scalar_subquery()
    )
    .returning(subscriptions.c.id)
)

set_subscription = update(subscriptions).where(_current)

# As ``app.services.billing.allowance.may`` says: active, in a trial that has not ended, or past due within the days of
# grace, at ``billing_now`` by the clock of billing.
is_licensed = or_(
    subscriptions.c.state == "active",
    and_(
        subscriptions.c.state == "trialing",
        or_(subscriptions.c.trial_ends_at.is_(None), subscriptions.c.trial_ends_at > bindparam("billing_now")),
    ),
    and_(subscriptions.c.state == "past_due", subscriptions.c.grace_until > bindparam("billing_now")),
)

# How the current subscription stands; no row where there is none.
standing = select(subscriptions.c.state, subscriptions.c.grace_until, subscriptions.c.trial_ends_at).where(
    subscriptions.c.tenant_id == bindparam("tenant_id"), subscriptions.c.ended_at.is_(None)
)

_tenants = batch_rows(tenant_id=BigInteger)
standings = hidden_too(
    select(subscriptions.c.tenant_id, subscriptions.c.state, subscriptions.c.grace_until, subscriptions.c.trial_ends_at)
    .select_from(_tenants)
    .join(subscriptions, and_(subscriptions.c.tenant_id == _tenants.c.tenant_id, subscriptions.c.ended_at.is_(None))),
    "a hidden tenant has no subscription",
)

_max_devices = func.coalesce(
    subscriptions.c.max_devices_override,
    select(plans.c.max_devices).where(plans.c.id == subscriptions.c.plan_id).scalar_subquery(),
)

seat_is_free = or_(_max_devices.is_(None), subscriptions.c.seats_used < _max_devices)

_seats = batch_rows(tenant_id=BigInteger, seats=BigInteger)
_locked_subscriptions = (
    select(subscriptions.c.tenant_id, subscriptions.c.id, _seats.c.seats)
    .select_from(_seats)
    .join(subscriptions, and_(subscriptions.c.tenant_id == _seats.c.tenant_id, subscriptions.c.ended_at.is_(None)))
    .order_by(subscriptions.c.id)
    .with_for_update(of=subscriptions)
    .cte("locked_subscriptions")
)

# Takes the seats that a batch needs of each tenant, all of a tenant's or none; returns the tenants whose seats it took.
take_seats = hidden_too(
    update(subscriptions)
    .where(
        subscriptions.c.tenant_id == _locked_subscriptions.c.tenant_id,
        subscriptions.c.id == _locked_subscriptions.c.id,
        is_licensed,
        or_(
            _max_devices.is_(None),
            subscriptions.c.seats_used + _locked_subscriptions.c.seats <= _max_devices,
        ),
    )
    .values(seats_used=subscriptions.c.seats_used + _locked_subscriptions.c.seats)
    .returning(
        subscriptions.c.tenant_id,
        subscriptions.c.state,
        referenced_column(plans.c.name, plans.c.id, subscriptions.c.plan_id).label("plan_name"),
        func.coalesce(
            subscriptions.c.monthly_run_quota_override,
            referenced_column(plans.c.monthly_run_quota, plans.c.id, subscriptions.c.plan_id),
        ).label("monthly_run_quota"),
    ),
    "a hidden tenant has no subscription",
)

free_seat = (
    update(subscriptions)
    .where(_current, subscriptions.c.seats_used > 0)
    .values(seats_used=subscriptions.c.seats_used - 1)
)
