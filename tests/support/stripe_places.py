"""A tenant with plans, codes that it has set out to buy, and a customer at Stripe, on a database of the test's own."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import time
from collections.abc import Iterable

import orjson
from support.stripe_story import AMOUNTS, Event

from app.context import Context
from app.errors import PlanConflictError
from app.services.billing.plans import ensure_plan
from app.services.payments.inbox import _store, _told
from app.services.payments.outcome import outcome_of
from app.services.tenants.onboarding import ensure_tenant

SECRET = "whsec_of_the_tests"


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """What Stripe sends beside a body."""
    moment = int(time.time() if at is None else at)
    mark = hmac.new(secret.encode(), b"%d.%b" % (moment, body), hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={moment},v1={mark}"}


async def with_plans(ctx: Context) -> None:
    """A plan for each price of the histories."""
    for number, price in enumerate(AMOUNTS):
        # The demonstration has a plan of each already.
        with contextlib.suppress(PlanConflictError):
            await ensure_plan(ctx, name=price, price_id=price, quota=10 * (number + 1))


async def with_tenant(ctx: Context, name: str) -> int:
    """A tenant without a subscription; Stripe's customer names it."""
    tenant, _ = await ensure_tenant(ctx, name=name, slug=name.replace("_", "-"))
    return tenant.id


async def stored(ctx: Context, events: Iterable[Event]) -> set[int]:
    """Events in the inbox as if they had been delivered; the customers' rows."""
    found = set()
    for event in events:
        customer_id, _ = await _store(ctx, _told(event, orjson.dumps(event).decode(), ctx.now()))
        if customer_id is not None:
            found.add(customer_id)
    return found


async def state_hash(ctx: Context, tenant_id: int, name: str) -> str:
    """The hash of all that follows in a tenant's tables, whatever the tenant is called in it."""
    return hashlib.sha256((await outcome_of(ctx, tenant_id)).replace(name.encode(), b"NAME")).hexdigest()
