"""Tenants that pay: at Stripe's simulator, whose books are looked at, through the tenant's own calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from httpx2 import Response
from sqlalchemy import select
from support.admin import as_tenant
from support.builders import Licensed, licensed
from support.live import LiveServer
from support.rows import rows

from app.providers.stripe_simulator.cards import CARDS, Card
from app.providers.stripe_simulator.checkout import pay_session
from app.providers.stripe_simulator.simulator import StripeSimulator
from app.services.billing.clock import billing_now
from app.services.billing.simulator import advance_simulator
from app.services.payments.ends import end_graces_and_trials
from app.services.payments.folding import fold_customer
from sql.tables import billing_facts, plans

PLACE = "/api/tenant/billing"
DAY = 86_400


class Payer(NamedTuple):
    """A tenant in a browser."""

    live: LiveServer
    tenant: Licensed
    headers: Mapping[str, str]

    async def ask(self, method: str, path: str = "", status: int = 200, **more: Any) -> Any:
        """The body of an answer that has this status."""
        answer = await self.send(method, path, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def send(self, method: str, path: str = "", **more: Any) -> Response:
        """The answer to a request below the billing page."""
        headers = {**self.headers, **more.pop("headers", {})}
        return await self.live.http.request(method, f"{PLACE}{path}", headers=headers, **more)

    async def upgrade(self, plan_id: int, status: int = 200) -> Any:
        """Click on a plan, as the front end does."""
        return await self.ask("POST", "/upgrade", status, json={"planId": plan_id, "immediate": False})


async def payer(live: LiveServer, state: str | None = None, **more: Any) -> Payer:
    """A new tenant in a browser, without a subscription unless a state is named."""
    tenant = await licensed(live, state=state, **more)
    return Payer(live, tenant, await as_tenant(live, tenant.tenant_id))


async def plan_of(live: LiveServer, name: str) -> int:
    """The id of a plan."""
    ((plan_id,),) = await rows(live, select(plans.c.id).where(plans.c.name == name))
    return int(plan_id)


def simulator_of(live: LiveServer) -> StripeSimulator:
    """Stripe's simulator of this server."""
    simulator = live.runtime.simulator
    assert simulator is not None
    return simulator


async def at_stripe(live: LiveServer, kind: str) -> list[dict[str, Any]]:
    """All objects of a kind that the simulator has."""
    return await simulator_of(live).run(lambda books: books.listed(kind))


def card(number: str = "4242424242424242") -> Card:
    """A card of the simulator's; this one pays."""
    return CARDS[number]


async def pay(live: LiveServer, session_id: str, number: str = "4242424242424242") -> None:
    """Pay in a checkout session, as a person does, and let the portal hear of it."""
    assert await simulator_of(live).run(lambda books: pay_session(books, session_id, card(number))) is None
    await settle(live)


async def settle(live: LiveServer) -> None:
    """Let Stripe tell what has happened, and the portal fold it, until nothing waits."""
    deliveries = simulator_of(live).deliveries
    deliveries.address = f"{live.base_url}/billing/stripe/webhook"
    waiting = select(billing_facts.c.customer_id).where(billing_facts.c.handled_at.is_(None)).distinct()
    assert await deliveries.send_waiting() == 0
    for row in await rows(live, waiting.where(billing_facts.c.customer_id.is_not(None))):
        await fold_customer(live.ctx, row.customer_id)
    left = await rows(
        live, select(billing_facts.c.type, billing_facts.c.failure).where(billing_facts.c.handled_at.is_(None))
    )
    assert left == []


async def days_pass(live: LiveServer, days: int) -> None:
    """Let days of billing pass, with everything that Stripe and the schedule of the portal do meanwhile."""
    simulator_of(live).deliveries.address = f"{live.base_url}/billing/stripe/webhook"
    await advance_simulator(live.ctx, days)
    await settle(live)
    await end_graces_and_trials(live.ctx)
    await settle(live)


async def month_passes(live: LiveServer) -> None:
    """Let what is left of the month of Stripe's only subscription pass, and the day on which the next one is due."""
    (subscription,) = await at_stripe(live, "subscription")
    left = subscription["items"]["data"][0]["current_period_end"] - (await billing_now(live.ctx)).timestamp()
    await days_pass(live, math.ceil(left / DAY) + 1)
