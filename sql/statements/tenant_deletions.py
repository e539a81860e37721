"""Deleting tenants: hiding one, removing its rows some at a time under a hold, and how far each deletion is."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Executable,
    ScalarSelect,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from sql.counting import PAGE_SIZE, SKIP, bounded_count, page_with_total
from sql.hidden import hidden_too, tenant_is_shown
from sql.holds import is_over
from sql.scope import across_tenants
from sql.tables import (
    activation_codes,
    agent_settings,
    deliveries,
    devices,
    metadata,
    otp_challenges,
    projects,
    stripe_customers,
    subscriptions,
    tenant_deletions,
    tenant_sessions,
    tenants,
    usage_events,
    usage_rollups,
)

# What a tenant has and a deletion removes in pieces, in this order: what refers to something comes before it, so that
# no cascade has more to do than its own piece.
OwnedTable = Literal[
    "refresh_families",
    "devices",
    "setting_changes",
    "agent_settings",
    "llm_alerts",
    "run_events",
    "run_files",
    "agent_tasks",
    "runs",
    "model_answers",
    "projects",
    "activation_codes",
    "usage_events",
    "usage_rollups",
    "monthly_runs",
    "billing_facts",
    "checkouts",
    "invoices",
    "payment_methods",
    "stripe_customers",
    "run_changes",
    "tenant_sessions",
    "otp_challenges",
    "tenant_sign_in_links",
    "contact_changes",
    "deliveries",
]


def _number(table: Table, *conditions: Any) -> ScalarSelect[int]:
    count = select(func.count()).select_from(table).where(table.c.tenant_id == bindparam("tenant_id"), *conditions)
    return count.scalar_subquery()


_can_be_used = (
    activation_codes.c.revoked_at.is_(None),
    or_(activation_codes.c.expires_at.is_(None), activation_codes.c.expires_at > bindparam("now")),
    activation_codes.c.use_count < activation_codes.c.max_uses,
)

_agents = (
    select(func.count())
    .select_from(agent_settings.join(projects, projects.c.project_id == agent_settings.c.project_id))
    .where(projects.c.tenant_id == bindparam("tenant_id"))
)

deletion_impact = select(
    _number(activation_codes).label("codes"),
    _number(activation_codes, *_can_be_used).label("active_codes"),
    _number(activation_codes, activation_codes.c.revoked_at.is_not(None)).label("revoked_codes"),
    _number(devices).label("devices"),
    _number(devices, devices.c.is_revoked).label("revoked_devices"),
    _number(subscriptions).label("subscriptions"),
    _number(usage_events).label("usage_events"),
    _number(usage_rollups).label("usage_rollups"),
    _number(projects).label("projects"),
    _agents.scalar_subquery().label("agents"),
    _number(tenant_sessions).label("sessions"),
)

# The first statement of a deletion. Its lock waits for every transaction that keeps the tenant, and it holds no other
# lock meanwhile. Under its new slug nobody finds the tenant, and the old one is free for another tenant.
hide_tenant = (
    update(tenants)
    .where(tenants.c.slug == bindparam("of_slug"), tenant_is_shown)
    .values(slug=bindparam("hidden_slug"), deleted_at=bindparam("now"))
    .returning(tenants.c.id, tenants.c.name)
)

# Without a subscription an activation under way is refused its seat.
delete_subscriptions = delete(subscriptions).where(subscriptions.c.tenant_id == bindparam("of_tenant_id"))

delete_challenge = delete(otp_challenges).where(otp_challenges.c.tenant_id == bindparam("of_tenant_id"))

# Another tenant may have the slug before they are sent.
delete_waiting_deliveries = delete(deliveries).where(
    deliveries.c.tenant_slug == bindparam("of_slug"), deliveries.c.state == "waiting"
)

# The tenant's customer at Stripe; one that an operator has linked may not be known as one yet.
_customer = func.coalesce(
    select(stripe_customers.c.stripe_customer_id)
    .where(stripe_customers.c.tenant_id == bindparam("of_tenant_id"))
    .scalar_subquery(),
    select(subscriptions.c.stripe_customer_id)
    .where(subscriptions.c.tenant_id == bindparam("of_tenant_id"), subscriptions.c.ended_at.is_(None))
    .scalar_subquery(),
)

_is_departing = and_(tenant_deletions.c.stripe_customer_id.is_not(None), tenant_deletions.c.payments_ended_at.is_(None))

departure = across_tenants(
    select(tenant_deletions.c.id, tenant_deletions.c.tenant_id, tenant_deletions.c.stripe_customer_id).where(
        tenant_deletions.c.id == bindparam("deletion_id"), _is_departing
    ),
    "an errand knows a deletion by its id alone",
)

finish_departure = (
    update(tenant_deletions)
    .where(tenant_deletions.c.tenant_id == bindparam("of_tenant_id"), _is_departing)
    .values(payments_ended_at=bindparam("now"))
)

departures_waiting = across_tenants(
    select(tenant_deletions.c.id)
    .where(_is_departing, tenant_deletions.c.requested_at < bindparam("before"))
    .order_by(tenant_deletions.c.id)
    .limit(bindparam("max_rows")),
    "a sweep looks at the deletions of all tenants",
)

# Before the subscriptions go, which may be all that names the customer.
insert_deletion = (
    insert(tenant_deletions)
    .values(stripe_customer_id=_customer)
    .returning(tenant_deletions.c.id, tenant_deletions.c.stripe_customer_id)
)

_is_free = or_(tenant_deletions.c.held_until.is_(None), is_over(tenant_deletions.c.held_until))

# Whoever takes the hold has the next number, so that a holder that was only thought dead commits nothing more.
take_deletion = across_tenants(
    update(tenant_deletions)
    .where(tenant_deletions.c.id == bindparam("of_id"), tenant_deletions.c.finished_at.is_(None), _is_free)
    .values(attempts=tenant_deletions.c.attempts + 1, held_until=bindparam("until"))
    .returning(
        tenant_deletions.c.id,
        tenant_deletions.c.tenant_id,
        tenant_deletions.c.slug,
        tenant_deletions.c.requested_at,
        tenant_deletions.c.attempts,
        tenant_deletions.c.found,
    ),
    "an errand knows a deletion by its id alone",
)

_is_held = and_(
    tenant_deletions.c.tenant_id == bindparam("of_tenant_id"),
    tenant_deletions.c.attempts == bindparam("of_attempts"),
    tenant_deletions.c.finished_at.is_(None),
)

store_found = update(tenant_deletions).where(_is_held).values(found=bindparam("counts"), held_until=bindparam("until"))

add_removed = (
    update(tenant_deletions)
    .where(_is_held)
    .values(removed=tenant_deletions.c.removed + bindparam("count"), held_until=bindparam("until"))
)

release_deletion = update(tenant_deletions).where(_is_held).values(held_until=None)

finish_deletion = update(tenant_deletions).where(_is_held).values(finished_at=bindparam("now"), held_until=None)

# ON DELETE CASCADE removes what a transaction that had begun before the deletion has written since its piece.
delete_tenant = hidden_too(delete(tenants).where(tenants.c.id == bindparam("of_id")), "the last piece of a deletion")


def number_of(table: OwnedTable) -> Select[Any]:
    """How many rows of a table a deletion has to remove."""
    rows = metadata.tables[table]
    return select(func.count()).select_from(rows).where(_is_owned(rows))


def delete_some(table: OwnedTable) -> Executable:
    """Delete at most ``max_rows`` of the tenant's rows in a table, and return a row for each.

    They are locked in the order of their keys, in which batches lock them: whoever began before the tenant was hidden
    may still hold some. They are returned because SQLite's driver counts none for a statement that begins with WITH.
    """
    rows = metadata.tables[table]
    key = tuple(rows.primary_key.columns)
    chosen = select(*key).where(_is_owned(rows)).limit(bindparam("max_rows")).cte("chosen")
    locked = select(*key).where(_among(key, select(chosen))).order_by(*key).with_for_update().cte("locked")
    return delete(rows).where(_is_owned(rows), _among(key, select(locked))).returning(key[0])


def _among(key: tuple[ColumnElement[Any], ...], keys: Select[Any]) -> ColumnElement[bool]:
    return key[0].in_(keys) if len(key) == 1 else tuple_(*key).in_(keys)


def _is_owned(rows: Table) -> ColumnElement[bool]:
    """Whether a row is the tenant's: by tenant, customer or project, or for a message by the slug that it was sent to.

    A message that waits, or was requested since, is for another tenant that has the slug by now.
    """
    if "tenant_id" in rows.c:
        return rows.c.tenant_id == bindparam("of_tenant_id")
    if "customer_id" in rows.c:
        own = select(stripe_customers.c.id).where(stripe_customers.c.tenant_id == bindparam("of_tenant_id"))
        return rows.c.customer_id.in_(own)
    if "project_id" in rows.c:
        own = select(projects.c.project_id).where(projects.c.tenant_id == bindparam("of_tenant_id"))
        return rows.c.project_id.in_(own)
    return and_(
        rows.c.tenant_slug == bindparam("of_slug"),
        rows.c.state != "waiting",
        rows.c.created_at <= bindparam("requested_at"),
    )


deletions_waiting = across_tenants(
    select(tenant_deletions.c.id)
    .where(tenant_deletions.c.finished_at.is_(None), _is_free, tenant_deletions.c.requested_at < bindparam("before"))
    .order_by(tenant_deletions.c.id)
    .limit(bindparam("max_rows")),
    "the sweep looks for deletions that nobody works on",
)

_deletion = (
    tenant_deletions.c.id,
    tenant_deletions.c.tenant_id,
    tenant_deletions.c.slug,
    tenant_deletions.c.name,
    tenant_deletions.c.requested_by,
    tenant_deletions.c.requested_at,
    tenant_deletions.c.found,
    tenant_deletions.c.removed,
    tenant_deletions.c.held_until,
    tenant_deletions.c.finished_at,
)

_page = (
    select(tenant_deletions.c.id).order_by(tenant_deletions.c.id.desc()).limit(PAGE_SIZE).offset(SKIP).subquery("page")
)
_total, _source = page_with_total(bounded_count(select(tenant_deletions.c.id)), _page)

# The newest first, with their total.
deletion_page = across_tenants(
    select(_total, *_deletion)
    .select_from(_source)
    .outerjoin(tenant_deletions, tenant_deletions.c.id == _page.c.id)
    .order_by(tenant_deletions.c.id.desc()),
    "operators see the deletions of all tenants",
)

deletion_by_id = across_tenants(
    select(*_deletion).where(tenant_deletions.c.id == bindparam("deletion_id")),
    "an operator names a deletion by its id alone",
)
