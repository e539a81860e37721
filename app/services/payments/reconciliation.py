"""Comparing everything with Stripe: what differs is reported one by one, and repaired by facts, never by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import structlog

from app.context import Actor, Context
from app.database.connections import ReadConnection
from app.errors import PortalError
from app.events import Event, EventType, record
from app.providers.payments import BillingGateway, Kind, StripeObject
from app.services.billing.clock import billing_now
from app.services.billing.customers import keep_customer
from app.services.billing.facts import Fact, metadata_of, number_in
from app.services.billing.fold import fold
from app.services.billing.snapshots import add_snapshot
from app.services.billing.state import BillingState, InvoiceState, PaymentMethodState
from app.services.directory.lookup import keep_tenant
from app.services.payments.comparison import Difference, Plan, Stored, differences
from app.services.payments.folding import fold_customer, known_facts
from app.services.payments.payer import gateway_of
from app.services.payments.projection import subscription_as_stored
from sql.statements import folding
from sql.statements import reconciliation as statements

PAGE: Final = 200
KINDS: Final[tuple[Kind, ...]] = (
    "subscription",
    "invoice",
    "checkout.session",
    "payment_method",
    "charge",
)
# For what is compared with nothing that is known.
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
SYSTEM: Final = Actor("system", "reconciliation")

log = structlog.get_logger(__name__)


class Reconciliation(NamedTuple):
    """What was compared, what differs, and of which customers Stripe did not answer."""

    customers: int
    differences: list[Difference]
    failures: list[str]


class _Known(NamedTuple):
    """A customer whose tenant is known."""

    id: int
    stripe_customer_id: str
    tenant_id: int
    slug: str


class _Linked(NamedTuple):
    """A tenant whose subscription names a customer that is not known as one."""

    id: int
    slug: str
    stripe_customer_id: str
    stripe_subscription_id: str | None


class _Tenant(NamedTuple):
    id: int
    slug: str


async def reconcile_nightly(ctx: Context) -> Mapping[str, object]:
    """Compare everything with Stripe and repair what differs; the schedule's own report is the log's."""
    if ctx.runtime.payments is None:
        return {"state": "not configured"}
    found = await reconcile(ctx._replace(actor=SYSTEM), is_dry_run=False)
    for difference in found.differences:
        log.warning("billing_differs", **{name: str(value) for name, value in difference._asdict().items()})
    repaired = sum(difference.is_repaired for difference in found.differences)
    return {
        "customers": found.customers,
        "differences": len(found.differences),
        "repaired": repaired,
        "failures": len(found.failures),
    }


async def reconcile(ctx: Context, *, is_dry_run: bool, tenant_slug: str | None = None) -> Reconciliation:
    """Compare what is stored with what Stripe has, of all tenants or of one; without ``is_dry_run`` also repair it.

    Raises PaymentsNotConfiguredError; where Stripe does not answer about a customer, the others go on.
    """
    gateway = gateway_of(ctx)
    found: list[Difference] = []
    failures: list[str] = []
    compared = 0
    async for customer in _customers(ctx, tenant_slug):
        compared += 1
        try:
            found += await _compare(ctx, gateway, customer, is_dry_run=is_dry_run)
        except PortalError as failure:
            failures.append(f"{customer.slug}: {failure.message}")
    if tenant_slug is None:
        try:
            found += await _orphans(ctx, gateway, is_dry_run=is_dry_run)
        except PortalError as failure:
            failures.append(f"customers at Stripe: {failure.message}")
    return Reconciliation(compared, found, failures)


async def _customers(ctx: Context, tenant_slug: str | None) -> AsyncIterator[_Known]:
    after_id, more = 0, {} if tenant_slug is None else {"tenant_slug": tenant_slug}
    statement = statements.known_customers("all" if tenant_slug is None else "tenant")
    while True:
        async with ctx.read() as conn:
            page = await conn.many(statement, _Known, after_id=after_id, page_size=PAGE, **more)
        for customer in page:
            yield customer
        if len(page) < PAGE:
            return
        after_id = page[-1].id


async def _compare(ctx: Context, gateway: BillingGateway, customer: _Known, *, is_dry_run: bool) -> list[Difference]:
    asked_at = await billing_now(ctx)
    found_customer = await gateway.fetch("customer", customer.stripe_customer_id)
    if found_customer is None or found_customer.get("deleted"):
        what = "the customer is gone at Stripe; link the tenant to another one"
        return [Difference(customer.slug, "customer", customer.stripe_customer_id, what, customer.slug, None)]
    objects = [found_customer, *await _objects(ctx, gateway, customer)]
    async with ctx.read() as conn:
        facts = await known_facts(conn, customer.id)
        plans = await conn.many(statements.all_plans, Plan)
        stored = await _stored(conn, customer.tenant_id)
    expected = _expected(ctx, facts, objects, asked_at)
    found = differences(customer.slug, stored, expected, plans)
    overruled = list(_overruled(ctx, customer.slug, expected, objects, plans))
    if is_dry_run or not found:
        return [*found, *overruled]
    await _repair(ctx, customer, objects, asked_at, found)
    async with ctx.read() as conn:
        left = differences(customer.slug, await _stored(conn, customer.tenant_id), expected, plans)
    return [*(each._replace(is_repaired=each not in left) for each in found), *overruled]


async def _objects(ctx: Context, gateway: BillingGateway, customer: _Known) -> list[StripeObject]:
    """What Stripe has of a customer, and the means of payment that it has no more."""
    objects: list[StripeObject] = []
    for kind in KINDS:
        objects += await gateway.customer_objects(kind, customer.stripe_customer_id)
    held = {found["id"] for found in objects}
    async with ctx.read() as conn:
        stored = await _stored(conn, customer.tenant_id)
    for method in stored.payment_methods:
        if method.stripe_payment_method_id not in held:
            found = await gateway.fetch("payment_method", method.stripe_payment_method_id)
            objects += [] if found is None else [found]
    return objects


async def _stored(conn: ReadConnection, tenant_id: int) -> Stored:
    key = {"tenant_id": tenant_id}
    sessions = await conn.rows(statements.session_states, **key)
    return Stored(
        await subscription_as_stored(conn, tenant_id),
        frozenset(await conn.many(folding.stored_invoices, InvoiceState, **key)),
        frozenset(await conn.many(folding.stored_payment_methods, PaymentMethodState, **key)),
        {row.stripe_session_id: row.state for row in sessions},
    )


def _expected(ctx: Context, facts: Sequence[Fact], objects: Sequence[StripeObject], asked_at: datetime) -> BillingState:
    """What follows from all that is known and from what Stripe has just answered."""
    grace = timedelta(days=ctx.runtime.settings.grace_days)
    return fold([*facts, *_snapshots(facts, objects, asked_at)], grace=grace, can_ask=False)


def _snapshots(facts: Sequence[Fact], objects: Sequence[StripeObject], asked_at: datetime) -> Iterator[Fact]:
    for number, found in enumerate(objects, 1):
        covers = [fact.reference for fact in facts if fact.object_id == found["id"]]
        payload = {"object": found, "covers": covers, "fetched_at": asked_at.isoformat()}
        kind, reference = f"{found['object']}.fetched", f"compared:{found['id']}"
        yield Fact(-number, "reconciliation", reference, kind, found["id"], asked_at.replace(microsecond=0), payload)


def _overruled(
    ctx: Context, slug: str, expected: BillingState, objects: Sequence[StripeObject], plans: Sequence[Plan]
) -> Iterator[Difference]:
    """Where an operator has said otherwise than Stripe charges: it stands, and is named."""
    state = expected.subscription
    if state is None or state.plan_id is None:
        return
    grace = timedelta(days=ctx.runtime.settings.grace_days)
    charged = fold(_snapshots([], objects, LONG_AGO), grace=grace, can_ask=False).subscription
    if charged is None or charged.price_id is None:
        return
    names = {plan.id: plan.name for plan in plans}
    paid = next((plan for plan in plans if plan.stripe_price_id == charged.price_id), None)
    if paid is None or paid.id != state.plan_id:
        what = "an operator has said another plan than Stripe charges for; it stands until the tenant changes it"
        there = paid.name if paid else charged.price_id
        yield Difference(slug, "subscription", charged.stripe_subscription_id, what, names.get(state.plan_id), there)


async def _repair(
    ctx: Context, customer: _Known, objects: Sequence[StripeObject], asked_at: datetime, found: Sequence[Difference]
) -> None:
    """Store what Stripe has answered about these objects, and fold: the tables follow from that."""
    kinds = {difference.kind for difference in found}
    named = {difference.id for difference in found}
    # How a subscription stands may depend on its invoices, and what an invoice comes to on charges.
    needed = [
        each
        for each in objects
        if each["id"] in named
        or (each["object"] in {"subscription", "invoice", "charge"} and kinds - {"payment_method"})
    ]
    async with ctx.write() as conn:
        for each in needed:
            await add_snapshot(conn, ctx, customer.id, each, source="reconciliation", asked_at=asked_at)
        title = f"{customer.slug} differs from Stripe in {len(found)} place{'s' if len(found) > 1 else ''}"
        told = [f"{each.kind} {each.id}: {each.what}" for each in found[:20]]
        event = Event(EventType.BILLING_REPAIRED, title, tenant_id=customer.tenant_id, metadata={"differences": told})
        await record(conn, ctx, event)
    await fold_customer(ctx, customer.id)


async def _orphans(ctx: Context, gateway: BillingGateway, *, is_dry_run: bool) -> list[Difference]:
    """Customers at Stripe that no tenant here has, and subscriptions here whose customer nobody knows."""
    found: list[Difference] = []
    known = {customer.stripe_customer_id: customer async for customer in _customers(ctx, None)}
    for customer in await gateway.customers():
        customer_id = str(customer["id"])
        if customer_id in known:
            continue
        tenant = await _named_tenant(ctx, customer)
        if tenant is None:
            what = "no tenant has this customer; delete it at Stripe, or link a tenant to it"
            named = metadata_of(customer).get("tenant_slug")
            found.append(Difference(None, "customer", customer_id, what, None, named))
            continue
        difference = Difference(tenant.slug, "customer", customer_id, "is not known here", None, tenant.slug)
        has_other = any(each.tenant_id == tenant.id for each in known.values())
        if not is_dry_run and not has_other:
            await _adopt(ctx, tenant.id, tenant.slug, customer_id)
            difference = difference._replace(is_repaired=True)
        found.append(difference)
    async with ctx.read() as conn:
        linked = await conn.many(statements.linked_without_customer, _Linked)
    for each in linked:
        is_there = await gateway.fetch("customer", each.stripe_customer_id) is not None
        what = "is not known here" if is_there else "is linked and not at Stripe; link the tenant to another one"
        difference = Difference(each.slug, "customer", each.stripe_customer_id, what, each.slug, is_there)
        if is_there and not is_dry_run:
            await _adopt(ctx, each.id, each.slug, each.stripe_customer_id)
            difference = difference._replace(is_repaired=True)
        found.append(difference)
    return found


async def _named_tenant(ctx: Context, customer: StripeObject) -> _Tenant | None:
    """The tenant that Stripe keeps with a customer, if it is still there."""
    if (tenant_id := number_in(metadata_of(customer), "tenant_id")) is None:
        return None
    async with ctx.read() as conn:
        return await conn.maybe(statements.tenant_shown, _Tenant, tenant_id=tenant_id)


async def _adopt(ctx: Context, tenant_id: int, slug: str, customer_id: str) -> None:
    """Make a customer the tenant's, and compare it at once."""
    async with ctx.write() as conn:
        await keep_tenant(conn, slug)
        customer = await keep_customer(conn, ctx, tenant_id, customer_id)
    known = _Known(customer.id, customer.stripe_customer_id, tenant_id, slug)
    await _compare(ctx, gateway_of(ctx), known, is_dry_run=False)
