"""The life of a subscription at Stripe's simulator, and what its tenant may do at each step."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from sqlalchemy import select, update
from support.billing import Payer, at_stripe, card, days_pass, month_passes, pay, payer, plan_of, settle, simulator_of
from support.builders import activate, licensed
from support.graphql import post
from support.live import LiveServer
from support.projects import create
from support.rows import rows
from support.sign_in import deliver_all, mailed

from app.providers.stripe_simulator.portal_sessions import confirm_change, pay_invoice, use_card
from sql.tables import subscriptions, tenants

FAILS_LATER = "4000000000000341"
CREATE = "mutation($input: CreateProjectInput!) { createProject(input: $input) { id } }"


class Allowed(NamedTuple):
    """What a tenant is answered who tries: the error's code, None where it is done.

    A run of a project without a code is refused for that alone, once nothing else is against it.
    """

    activation: str | None
    run: str | None
    project: str | None
    graphql: str | None


EVERYTHING = Allowed(None, "project_without_code", None, None)


def nothing(code: str) -> Allowed:
    return Allowed(code, code, code, code)


class Journey:
    """A tenant on its way."""

    def __init__(self, live: LiveServer, tenant: Payer, project_id: str) -> None:
        self.live, self.tenant, self._project_id = live, tenant, project_id
        self._numbers = itertools.count(1)

    async def allowed(self) -> Allowed:
        """What the tenant may do now, over REST and GraphQL."""
        live, number = self.live, next(self._numbers)
        headers = dict(self.tenant.headers)
        answers = [
            await activate(live, self.tenant.tenant, f"hardware-{number}"),
            await live.http.post(f"/api/tenant/projects/{self._project_id}/run", headers=headers),
            await create(live, headers, f"Project {number}"),
        ]
        codes = [answer.json()["errorCode"] if answer.is_error else None for answer in answers]
        project = {"name": f"Graph {number}", "objective": "Sell hats"}
        body = (await post(live, headers, CREATE, input=project)).json()
        errors = body.get("errors")
        return Allowed(*codes, errors[0]["extensions"]["code"] if errors else None)

    async def subscription(self) -> Any:
        """The subscription as the billing page shows it."""
        return (await self.tenant.ask("GET"))["subscription"]

    async def shown(self) -> tuple[str, str]:
        """State and plan, as the billing page shows them."""
        found = await self.subscription()
        return found["status"], found["planName"]


async def begun(live: LiveServer) -> Journey:
    """A tenant in a trial that nobody pays for, with the one project that it allows."""
    tenant = await payer(live, "trialing", max_uses=99)
    who = tenants.c.id == tenant.tenant.tenant_id
    async with live.ctx.write() as conn:
        await conn.affected(update(tenants).where(who).values(email="it@example.com"))
    answer = await create(live, tenant.headers)
    assert answer.status_code == 201, answer.text
    return Journey(live, tenant, answer.json()["projectId"])


async def test_from_a_trial_to_the_end(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    journey = await begun(live)
    small, large = journey.tenant.tenant.plan, (await licensed(live, state=None)).plan
    limited = "trial_project_limit"
    assert await journey.shown() == ("trialing", small)
    assert await journey.allowed() == Allowed(None, "project_without_code", limited, limited)

    await subscribes(journey, small, large)
    await is_renewed(journey)
    await fails_to_pay(journey, large)
    await pays_after_all(journey, large)
    await changes_down(journey, small)
    await ends_with_its_period(journey, small)
    await begins_again(journey, small)


async def subscribes(journey: Journey, small: str, large: str) -> None:
    """Nothing is granted before it is paid, and then at once."""
    plan_id = await plan_of(journey.live, large)
    opened = await journey.tenant.upgrade(plan_id)
    await settle(journey.live)
    assert await journey.shown() == ("trialing", small)
    await pay(journey.live, opened["sessionId"])
    assert await journey.shown() == ("active", large)
    assert await journey.allowed() == EVERYTHING
    assert (await journey.tenant.upgrade(plan_id, 409))["errorCode"] == "already_on_plan"


async def is_renewed(journey: Journey) -> None:
    """A month later another one is paid."""
    before = await journey.subscription()
    await month_passes(journey.live)
    after, billing = await journey.subscription(), await journey.tenant.ask("GET")
    assert (after["status"], after["nextBillingDate"] > before["nextBillingDate"]) == ("active", True)
    assert [each["status"] for each in billing["billingHistory"]] == ["paid", "paid"]
    assert [method["card"]["last4"] for method in billing["paymentMethods"]] == ["4242"]


async def fails_to_pay(journey: Journey, plan: str) -> None:
    """A card that fails: everything goes on for the days of grace, and then stops; the tenant is told of both."""
    live = journey.live
    page = (await journey.tenant.ask("POST", "/portal"))["url"].rpartition("/")[2]
    await simulator_of(live).run(lambda books: use_card(books, page, card(FAILS_LATER)))
    await month_passes(live)
    grace = await journey.subscription()
    assert (grace["status"], grace["graceUntil"] is not None) == ("past_due", True)
    assert await journey.allowed() == EVERYTHING
    assert await deliver_all(live) == ["sent"]

    await days_pass(live, 8)
    assert await journey.shown() == ("unpaid", plan)
    assert await journey.allowed() == nothing("subscription_inactive")
    assert await deliver_all(live) == ["sent"]
    subjects = [mail.subject for mail in await mailed(live)]
    assert subjects == ["Runs and activations have stopped", "Your last payment has failed"]


async def pays_after_all(journey: Journey, plan: str) -> None:
    """What is owed is paid, and everything goes on at once."""
    (owed,) = [invoice for invoice in await at_stripe(journey.live, "invoice") if invoice["status"] == "open"]
    assert await simulator_of(journey.live).run(lambda books: pay_invoice(books, owed["id"], card())) is None
    await settle(journey.live)
    assert await journey.shown() == ("active", plan)
    assert await journey.allowed() == EVERYTHING


async def changes_down(journey: Journey, plan: str) -> None:
    """The living subscription changes once that is confirmed, and there is no second one."""
    plan_id = await plan_of(journey.live, plan)
    preview = await journey.tenant.ask("GET", "/preview", params={"planId": plan_id})
    assert (preview["isChange"], preview["planName"], bool(preview["lines"])) == (True, plan, True)
    change = await journey.tenant.upgrade(plan_id)
    assert await journey.tenant.upgrade(plan_id) == change
    await simulator_of(journey.live).run(lambda books: confirm_change(books, change["sessionId"]))
    await settle(journey.live)
    assert await journey.shown() == ("active", plan)
    (subscription,) = await at_stripe(journey.live, "subscription")
    assert subscription["status"] == "active"


async def ends_with_its_period(journey: Journey, plan: str) -> None:
    """Cancelled, resumed and cancelled again, it goes on to the end of what is paid for."""
    for path, is_ending in (("/cancel", True), ("/resume", False), ("/cancel", True)):
        assert (await journey.tenant.ask("POST", path))["cancelAtPeriodEnd"] is is_ending
        await settle(journey.live)
        assert (await journey.subscription())["autoRenewal"] is not is_ending
    assert await journey.allowed() == EVERYTHING
    await days_pass(journey.live, 32)
    assert await journey.shown() == ("canceled", plan)
    assert await journey.allowed() == nothing("subscription_inactive")


async def begins_again(journey: Journey, plan: str) -> None:
    """Whoever has ended may begin anew: another subscription at Stripe, the same row here."""
    live = journey.live
    again = await journey.tenant.upgrade(await plan_of(live, plan))
    await pay(live, again["sessionId"])
    assert await journey.shown() == ("active", plan)
    assert await journey.allowed() == EVERYTHING
    assert [each["status"] for each in await at_stripe(live, "subscription")].count("active") == 1
    of_tenant = subscriptions.c.tenant_id == journey.tenant.tenant.tenant_id
    assert len(await rows(live, select(subscriptions).where(of_tenant))) == 1
