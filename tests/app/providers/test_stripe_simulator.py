"""Stripe's simulator: what time does to subscriptions, in order, and objects as Stripe's own library knows them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import stripe
from support.stripe import DAY, DECLINED, DISPUTED, FAILS_LATER, PAYS, Shop, elsewhere, shop_in
from support.stripe_shapes import unknown_names

from app.errors import PaymentsRefusedError
from app.providers.stripe import verified_event
from app.providers.stripe_library import API_VERSION
from app.providers.stripe_simulator import charging, checkout, portal_sessions
from app.providers.stripe_simulator.cards import CARDS
from app.providers.stripe_simulator.periods import boundary
from app.providers.stripe_simulator.simulator import Sent

HOUR = 3600
PAID = ["invoice_payment.paid", "invoice.paid", "invoice.payment_succeeded"]
CHARGED = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded", *PAID]
REFUSED = ["charge.failed", "payment_intent.payment_failed", "invoice.payment_failed"]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop_in(tmp_path) as made:
        yield made


def since(events: list[dict[str, Any]], start: int) -> list[tuple[float, str]]:
    """When events happened, in days after a moment, and what they are."""
    return [(round((event["created"] - start) / DAY, 2), event["type"]) for event in events]


async def test_a_checkout_is_paid_and_the_subscription_becomes_active(shop: Shop) -> None:
    customer = await shop.customer()

    subscription = await shop.subscribe(customer)

    events = await shop.events()
    assert [event["type"] for event in events[3:]] == [
        "payment_method.attached",
        "invoice.created",
        "customer.subscription.created",
        "invoice.finalized",
        *CHARGED,
        "customer.subscription.updated",
        "checkout.session.completed",
    ]
    created, updated, completed = events[5], events[-2], events[-1]
    assert created["data"]["object"]["status"] == "incomplete"
    assert updated["data"]["previous_attributes"] == {"status": "incomplete"}
    assert (subscription["status"], subscription["metadata"]) == ("active", {"tenant_id": "1"})
    session = completed["data"]["object"]
    assert (session["payment_status"], session["subscription"]) == ("paid", subscription["id"])
    assert len({event["created"] for event in events}) == 1


async def test_a_card_that_fails_at_renewal_ends_in_cancellation_at_its_moments(shop: Shop) -> None:
    customer = await shop.customer()
    subscription = await shop.subscribe(customer, card=FAILS_LATER)
    start = subscription["start_date"]
    month = (boundary(start, "month", 1) - start) / DAY
    before = len(await shop.events())

    progress = await shop.simulator.advance(50 * DAY)

    draft = round(month + HOUR / DAY, 2)
    attempts = [round(month + HOUR / DAY + days, 2) for days in (3, 8, 15)]
    assert since((await shop.events())[before:], start) == [
        (month - 7, "invoice.upcoming"),
        (month, "invoice.created"),
        (month, "customer.subscription.updated"),
        (draft, "invoice.finalized"),
        (draft, "payment_intent.created"),
        *((draft, event) for event in REFUSED),
        (draft, "customer.subscription.updated"),
        *((attempt, event) for attempt in attempts for event in REFUSED),
        (attempts[-1], "customer.subscription.deleted"),
    ]
    assert progress == (50 * DAY, 6)
    ended = (await shop.of(customer))[0]
    assert (ended["status"], ended["cancellation_details"]["reason"]) == ("canceled", "payment_failed")
    assert ended["ended_at"] == start + round(attempts[-1] * DAY / HOUR) * HOUR


async def test_time_that_passes_in_steps_leads_where_one_step_leads(tmp_path: Path) -> None:
    told: list[list[tuple[float, str]]] = []
    for name, steps in (("one", [50]), ("many", [9, 14, 8, 1, 18])):
        async with shop_in(tmp_path / name) as shop:
            start = (await shop.subscribe(await shop.customer(), card=FAILS_LATER))["start_date"]
            for days in steps:
                await shop.simulator.advance(days * DAY)
            told.append(since(await shop.events(), start))

    assert told[0] == told[1]
    assert len(told[0]) > 30


async def test_a_trial_is_told_to_end_and_then_paid(shop: Shop) -> None:
    customer = await shop.customer()
    await shop.ask("POST", "payment_methods/pm_card_visa/attach", f"customer={customer}")
    method = (await shop.of(customer, "payment_method"))[0]["id"]
    await shop.ask("POST", f"customers/{customer}", f"invoice_settings[default_payment_method]={method}")
    form = f"customer={customer}&items[0][price]=price_starter&trial_period_days=14"
    trial = await shop.ask("POST", "subscriptions", form)
    before = len(await shop.events())

    await shop.simulator.advance(15 * DAY)

    assert trial["status"] == "trialing"
    assert since((await shop.events())[before:], trial["created"])[:3] == [
        (11.0, "customer.subscription.trial_will_end"),
        (14.0, "invoice.created"),
        (14.0, "customer.subscription.updated"),
    ]
    subscription = (await shop.of(customer))[0]
    invoices = await shop.of(customer, "invoice")
    assert subscription["status"] == "active"
    assert [(invoice["status"], invoice["amount_paid"]) for invoice in invoices] == [("paid", 2900), ("paid", 0)]
    assert subscription["items"]["data"][0]["current_period_start"] == trial["trial_end"]


async def test_what_is_due_first_happens_first_whatever_was_made_first(shop: Shop) -> None:
    for tenant, days in ((1, 20), (2, 10), (3, 15)):
        form = f"customer={await shop.customer(tenant)}&items[0][price]=price_starter&trial_period_days={days}"
        await shop.ask("POST", "subscriptions", form)
    before = await shop.events()

    await shop.simulator.advance(21 * DAY)

    told = since((await shop.events())[len(before) :], before[0]["created"])
    assert [day for day, event in told if event.endswith("trial_will_end")] == [7.0, 12.0, 17.0]
    assert [day for day, event in told if event == "invoice.created"] == [10.0, 15.0, 20.0]
    assert told == sorted(told, key=lambda each: each[0])


@pytest.mark.parametrize(
    ("behavior", "status", "event"),
    [
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("pause", "paused", "customer.subscription.paused"),
        ("create_invoice", "past_due", "invoice.payment_failed"),
    ],
)
async def test_a_trial_without_a_card_ends_as_its_settings_say(
    shop: Shop, behavior: str, status: str, event: str
) -> None:
    customer = await shop.customer()
    form = f"trial_settings[end_behavior][missing_payment_method]={behavior}&trial_period_days=1"
    await shop.ask("POST", "subscriptions", f"customer={customer}&items[0][price]=price_starter&{form}")

    await shop.simulator.advance(2 * DAY)

    assert (await shop.of(customer))[0]["status"] == status
    assert event in await shop.types_since(0)


async def test_a_subscription_ends_with_its_period_unless_it_is_resumed(shop: Shop) -> None:
    customer = await shop.customer()
    subscription = await shop.subscribe(customer)

    def set_end(key: str, *, cancel: bool) -> Any:
        return shop.gateway.set_cancel_at_period_end(subscription_id=subscription["id"], cancel=cancel, key=key)

    marked = await set_end("1", cancel=True)
    resumed = await set_end("2", cancel=False)
    await set_end("3", cancel=True)
    await shop.simulator.advance(40 * DAY)

    end = subscription["items"]["data"][0]["current_period_end"]
    assert (marked["cancel_at"], resumed["cancel_at"]) == (end, None)
    ended = (await shop.of(customer))[0]
    assert (ended["status"], ended["ended_at"]) == ("canceled", end)
    assert len(await shop.of(customer, "invoice")) == 1


async def test_an_upgrade_is_charged_at_once_and_a_downgrade_is_used_by_the_next_invoices(shop: Shop) -> None:
    customer = await shop.customer()
    subscription = await shop.subscribe(customer, price="price_starter")
    item = subscription["items"]["data"][0]
    whole = item["current_period_end"] - item["current_period_start"]
    await shop.simulator.advance(whole // 2)

    where = {"customer_id": customer, "subscription_id": subscription["id"], "item_id": item["id"]}
    up = await shop.gateway.preview(**where, price_id="price_enterprise")
    back: dict[str, Any] = {**where, "return_url": "http://shop.test/billing"}
    first = await shop.gateway.open_plan_change(**back, price_id="price_enterprise", key="up")
    await shop.simulator.run(lambda books: portal_sessions.confirm_change(books, first.id))
    down = await shop.gateway.preview(**where, price_id="price_starter")
    second = await shop.gateway.open_plan_change(**back, price_id="price_starter", key="down")
    await shop.simulator.run(lambda books: portal_sessions.confirm_change(books, second.id))
    # A page that is still open somewhere.
    await shop.simulator.run(lambda books: portal_sessions.confirm_change(books, first.id))

    half = (49_900 - 2_900) // 2
    assert (up.amount_due, up.next_amount, [line.amount for line in up.lines]) == (half, 49_900, [-1450, 24_950])
    assert (down.amount_due, [line.amount for line in down.lines]) == (0, [-24_950, 1450])
    changed = [event for event in await shop.events() if event["type"] == "customer.subscription.updated"][1:]
    assert [set(event["data"]["previous_attributes"]) for event in changed] == [{"items", "latest_invoice"}] * 2
    assert changed[0]["data"]["previous_attributes"]["items"]["data"][0]["price"]["id"] == "price_starter"
    balances = [(await shop.of(customer, "customer"))[0]["balance"]]
    await shop.simulator.advance(25 * DAY)
    balances.append((await shop.of(customer, "customer"))[0]["balance"])
    invoices = await shop.of(customer, "invoice")
    assert balances == [-half, -half + 2_900]
    assert [invoice["amount_paid"] for invoice in invoices] == [0, 0, half, 2_900]
    assert [entry["status"] for entry in await shop.of(customer)] == ["active"]


async def test_the_same_key_at_once_makes_one_customer_and_other_parameters_are_refused(shop: Shop) -> None:
    made = await asyncio.gather(*(shop.customer() for _ in range(50)))

    with pytest.raises(PaymentsRefusedError):
        await shop.gateway.create_customer(tenant_id=1, slug="t1", name="Other", email=None, key="customer:1")

    assert len(set(made)) == 1
    assert [customer["id"] for customer in await shop.gateway.customers()] == [made[0]]
    assert await shop.types_since(0) == ["customer.created"]


async def test_every_object_and_event_has_names_that_the_library_knows(shop: Shop) -> None:
    customer = await shop.customer()
    subscription = await shop.subscribe(customer, card=FAILS_LATER)
    await shop.purchase(customer, DISPUTED)
    await shop.purchase(customer, DECLINED, key="declined")
    charge = (await shop.of(customer, "charge"))[1]["id"]
    await shop.do(charging.create_refund, form=f"charge={charge}&amount=100")
    await shop.simulator.advance(35 * DAY)
    portal = await shop.ask("POST", "billing_portal/sessions", f"customer={customer}&return_url=http://shop.test")
    await shop.simulator.run(lambda books: portal_sessions.use_card(books, portal["id"], CARDS[PAYS]))
    invoice = (await shop.of(customer, "invoice"))[0]["id"]
    await shop.ask("POST", f"invoices/{invoice}/pay")
    preview = await shop.ask("POST", "invoices/create_preview", f"subscription={subscription['id']}")

    kinds = [
        "account",
        "customers",
        "subscriptions?status=all",
        "invoices?expand[]=data.payments",
        "charges",
        "refunds",
    ]
    kinds += ["disputes", "prices", "products", "payment_methods", "payment_intents", "checkout/sessions"]
    listed = [await shop.ask("GET", *kind.split("?")) for kind in kinds]
    events = await shop.events()

    assert {name for found in (*listed, *events, portal, preview) for name in unknown_names(found)} == set()
    assert unknown_names({"object": "invoice", "payment_intent": "pi_1"}) == {"invoice.payment_intent"}
    assert len({event["type"] for event in events}) > 25
    client = stripe.StripeClient("sk_test_1")
    parsed = [client.construct_event_without_verification(json.dumps(event)) for event in events]
    told = [event["data"]["object"]["object"] for event in events]
    assert [type(event.data.object).OBJECT_NAME for event in parsed] == told
    assert {event["api_version"] for event in events} == {API_VERSION}
    assert stripe.api_version == API_VERSION


async def test_who_has_not_paid_pays_later_and_goes_on(shop: Shop) -> None:
    customer = await shop.customer()
    start = (await shop.subscribe(customer, card=FAILS_LATER))["start_date"]
    # A day after the renewal, before it is tried again.
    await shop.simulator.advance(boundary(start, "month", 1) - start + DAY)
    invoice = (await shop.of(customer, "invoice"))[0]
    before = len(await shop.events())

    declined = await shop.simulator.run(
        lambda books: portal_sessions.pay_invoice(books, invoice["id"], CARDS[DECLINED])
    )
    paid = await shop.simulator.run(lambda books: portal_sessions.pay_invoice(books, invoice["id"], CARDS[PAYS]))

    assert (invoice["status"], invoice["attempt_count"], declined, paid) == ("open", 1, "card_declined", None)
    last = (await shop.events())[-1]
    assert last["type"] == "customer.subscription.updated"
    assert last["data"]["previous_attributes"] == {"status": "past_due"}
    types = await shop.types_since(before)
    assert (types.count("invoice.payment_failed"), types.count("invoice.paid")) == (1, 1)


async def test_what_is_incomplete_expires_and_a_rest_ends_with_a_new_period(shop: Shop) -> None:
    customer = await shop.customer()
    form = f"customer={customer}&items[0][price]=price_starter&payment_behavior=default_incomplete"
    await shop.ask("POST", "subscriptions", form)
    await shop.simulator.advance(DAY)
    expired = (await shop.of(customer))[0]["status"]
    subscription = await shop.subscribe(customer)
    await shop.ask("POST", f"subscriptions/{subscription['id']}/pause")
    before = len(await shop.events())

    await shop.simulator.advance(60 * DAY)
    rested = await shop.types_since(before)
    resumed = await shop.ask("POST", f"subscriptions/{subscription['id']}/resume")

    assert (expired, rested, resumed["status"]) == ("incomplete_expired", [], "active")
    told = {event["type"]: event["data"] for event in await shop.events()}
    assert told["customer.subscription.paused"]["previous_attributes"] == {"status": "active"}
    assert told["customer.subscription.resumed"]["previous_attributes"] == {"status": "paused"}
    assert resumed["items"]["data"][0]["current_period_start"] == subscription["start_date"] + 60 * DAY


async def test_a_debit_is_settled_or_comes_back_some_days_later(shop: Shop) -> None:
    customer = await shop.customer()
    form = f"customer={customer}&mode=payment&success_url=http://shop.test&payment_method_types[0]=us_bank_account"
    form += "&line_items[0][price_data][unit_amount]=500&line_items[0][price_data][currency]=usd"
    form += "&line_items[0][price_data][product_data][name]=Code"
    for fails in (False, True):
        session = (await shop.ask("POST", "checkout/sessions", form))["id"]
        await shop.simulator.run(
            lambda books, of=session, fails=fails: checkout.debit_session(books, of, will_fail=fails)
        )
    before = len(await shop.events())

    completed = [event for event in await shop.events() if event["type"] == "checkout.session.completed"]
    await shop.simulator.advance(4 * DAY)

    assert [event["data"]["object"]["payment_status"] for event in completed] == ["unpaid", "unpaid"]
    assert [event for event in await shop.types_since(before) if event.startswith("checkout")] == [
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
    ]


async def test_an_event_is_signed_and_sent_until_it_is_taken(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.providers.stripe_simulator.deliveries.PAUSES", (0,))
    async with elsewhere((500, {}), (503, {}), (200, {})) as portal:
        shop.simulator.deliveries.address = f"{portal.base}/billing/stripe/webhook"
        await shop.customer()

        waiting = await shop.simulator.deliveries.send_waiting()

    events = [
        await verified_event(body, head["stripe-signature"], ["whsec_of_tests"])
        for head, body in zip(portal.heads, portal.bodies, strict=True)
    ]
    assert [event["type"] for event in events] == ["customer.created"] * 3
    assert (len({event["id"] for event in events}), waiting) == (1, 0)


async def test_a_session_that_nobody_pays_expires_and_cannot_be_paid(shop: Shop) -> None:
    customer = await shop.customer()
    session = await shop.purchase(customer, DECLINED)
    await shop.simulator.advance(2 * DAY)

    refused = await shop.ask("POST", f"checkout/sessions/{session.id}/expire")

    assert (await shop.events())[-1]["type"] == "checkout.session.expired"
    assert "expired" in refused["error"]["message"]
    assert (await shop.gateway.fetch("checkout.session", session.id) or {})["status"] == "expired"


async def test_a_card_is_taken_away_and_a_customer_leaves(shop: Shop) -> None:
    customer = await shop.customer()
    subscription = await shop.subscribe(customer)
    method = (await shop.of(customer, "payment_method"))[0]["id"]
    before = len(await shop.events())

    await shop.ask("POST", f"payment_methods/{method}/detach")
    ended = await shop.gateway.cancel_now(subscription_id=subscription["id"], key="cancel")
    gone = await shop.ask("DELETE", f"customers/{customer}")

    assert (ended["status"], gone) == ("canceled", {"id": customer, "object": "customer", "deleted": True})
    assert await shop.types_since(before) == [
        "customer.subscription.updated",
        "payment_method.detached",
        "customer.subscription.deleted",
        "customer.deleted",
    ]
    assert await shop.gateway.customers() == []
    with pytest.raises(PaymentsRefusedError):
        await shop.gateway.open_portal(customer_id=customer, return_url="http://shop.test", key="portal")


@pytest.mark.parametrize(
    ("method", "path", "form", "status"),
    [
        ("POST", "checkout/sessions", "mode=payment&success_url=javascript:alert(1)", 400),
        ("POST", "checkout/sessions", "mode=subscription", 400),
        ("POST", "customers", "&".join(f"metadata[{n}]=x" for n in range(600)), 400),
        ("POST", "customers", "metadata=x&metadata[a]=y", 400),
        ("POST", "refunds", "charge=ch_1&amount=much", 404),
        ("POST", "subscriptions", "customer=cus_1", 400),
        ("GET", "nothing/here", "", 404),
        ("PATCH", "customers", "", 404),
    ],
)
async def test_a_wrong_request_is_refused_and_changes_nothing(
    shop: Shop, method: str, path: str, form: str, status: int
) -> None:
    answer = await shop.simulator.answer(Sent(method, path, form, "key"), shop.simulator.api_key)

    assert answer.status == status
    assert "error" in json.loads(answer.body)
    assert await shop.events() == []
