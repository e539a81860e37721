"""The pages of Stripe's simulator: pay, be declined, go back, change the plan, cancel, and who may see them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from httpx2 import Response
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.operators import Browser, browser
from support.pages import read, submit
from support.stripe import DECLINED, FAILS_LATER, PAYS, PLACES, Shop

from app.services.billing.clock import billing_now

NOWHERE = "sqlite+aiosqlite:////nowhere/portal.db"
STRONG = "k7Qm2vX9pR4tW8zB1nC6dF3gH5jL0sYa"
BACK = "http://shop.test/billing"


@pytest.fixture
async def person(sanic_client: LiveServer) -> AsyncIterator[Browser]:
    async with browser(sanic_client) as made:
        yield made


def shop_of(live: LiveServer) -> Shop:
    assert live.runtime.simulator is not None
    assert live.runtime.payments is not None
    return Shop(live.runtime.simulator, live.runtime.payments)


async def press(person: Browser, page: Response, button: str, **typed: str) -> Response:
    """Press a button on a page, and look at the page to which it leads."""
    path = urlsplit(str(page.url)).path
    answer = await submit(person, page, path, action=button, **typed)
    return await person.get(answer.headers["location"]) if answer.status_code == 303 else answer


def leads_to(page: Response) -> list[str]:
    """The addresses that a page has links to, and to which it leads by itself."""
    parts = page.text.split('"')
    return [part.removeprefix("0; url=") for part in parts if part.startswith(("0; url=http", BACK))]


async def opened(shop: Shop, customer: str, price: str = "price_pro_monthly") -> str:
    session = await shop.gateway.open_subscription(
        customer_id=customer, price_id=price, metadata={}, key=f"checkout:{price}", **PLACES
    )
    return urlsplit(session.url).path


async def test_a_declined_card_is_told_and_another_one_pays(sanic_client: LiveServer, person: Browser) -> None:
    shop = shop_of(sanic_client)
    customer = await shop.customer()
    page = await person.get(await opened(shop, customer))

    declined = await press(person, page, "", card=DECLINED)
    before = await shop.of(customer)
    paid = await press(person, declined, "", card=PAYS)
    again = await press(person, page, "", card=PAYS)

    assert f"{BACK}?canceled=true" in leads_to(page)
    assert "99.00 USD" in page.text
    assert (declined.status_code, before) == (402, [])
    assert "Your card was declined." in declined.text
    assert leads_to(paid) == leads_to(again) == [f"{BACK}?success=true"] * 2
    assert [each["status"] for each in await shop.of(customer)] == ["active"]


async def test_nobody_pays_in_a_session_that_has_expired(sanic_client: LiveServer, person: Browser) -> None:
    shop = shop_of(sanic_client)
    customer = await shop.customer()
    page = await person.get(await opened(shop, customer))

    expired = await press(person, page, "expire")
    late = await press(person, page, "", card=PAYS)

    assert expired.text == late.text
    assert "Nobody can pay here any more" in late.text
    assert (await shop.of(customer), leads_to(late)) == ([], [f"{BACK}?canceled=true"])


async def test_a_change_of_plan_is_shown_and_made_once_it_is_confirmed(
    sanic_client: LiveServer, person: Browser
) -> None:
    shop = shop_of(sanic_client)
    customer = await shop.customer()
    subscription = await shop.subscribe(customer, price="price_starter")
    session = await shop.gateway.open_plan_change(
        customer_id=customer,
        subscription_id=subscription["id"],
        item_id=subscription["items"]["data"][0]["id"],
        price_id="price_pro",
        return_url=BACK,
        key="change",
    )

    page = await person.get(urlsplit(session.url).path)
    looked = (await shop.of(customer))[0]
    changed = await press(person, page, "confirm")
    await press(person, page, "confirm")

    assert "From Starter (29.00 USD a month) to Pro (99.00 USD a month)." in page.text
    assert looked == subscription
    assert leads_to(changed) == [BACK, BACK]
    assert (await shop.of(customer))[0]["items"]["data"][0]["price"]["id"] == "price_pro"
    assert [each["total"] for each in await shop.of(customer, "invoice")] == [7_000, 2_900]


async def test_in_the_portal_a_subscription_is_ended_resumed_and_paid_by_another_card(
    sanic_client: LiveServer, person: Browser
) -> None:
    shop = shop_of(sanic_client)
    customer = await shop.customer()
    subscription = await shop.subscribe(customer, card=FAILS_LATER)
    session = await shop.gateway.open_portal(customer_id=customer, return_url=BACK, key="portal")
    states: list[Any] = []

    page = await person.get(urlsplit(session.url).path)
    for button in ("end", "go_on"):
        page = await press(person, page, button, subscription=subscription["id"])
        states.append((await shop.of(customer))[0]["cancel_at_period_end"])
    page = await press(person, page, "card", card=PAYS)

    methods = await shop.of(customer, "payment_method")
    assert states == [True, False]
    assert [method["card"]["last4"] for method in methods] == ["4242"]
    assert "visa that ends in 4242 (default)" in page.text
    assert (await shop.of(customer))[0]["default_payment_method"] == methods[0]["id"]


async def test_an_invoice_that_has_failed_is_paid_on_its_page(sanic_client: LiveServer, person: Browser) -> None:
    shop = shop_of(sanic_client)
    customer = await shop.customer()
    await shop.subscribe(customer, card=FAILS_LATER)
    overview = await person.get("/dev/stripe")
    moved = await press(person, overview, "advance", days="32")
    invoice = (await shop.of(customer, "invoice"))[0]
    page = await person.get(urlsplit(invoice["hosted_invoice_url"]).path)

    declined = await press(person, page, "", card=DECLINED)
    paid = await press(person, page, "", card=PAYS)

    ahead = await billing_now(sanic_client.ctx) - sanic_client.ctx.now()
    assert round(ahead.total_seconds() / 86_400) == 32
    assert "past_due" in moved.text
    assert (invoice["status"], declined.status_code) == ("open", 402)
    assert "Pay 99.00" in page.text
    assert "Pay 99.00" not in paid.text
    assert (await shop.of(customer))[0]["status"] == "active"


async def test_the_overview_gives_back_disputes_and_pauses(sanic_client: LiveServer, person: Browser) -> None:
    shop = shop_of(sanic_client)
    customer = await shop.customer()
    subscription = await shop.subscribe(customer)
    await shop.purchase(customer)
    page = await person.get("/dev/stripe")
    code, first = [charge["id"] for charge in await shop.of(customer, "charge")]

    await press(person, page, "refund", id=code)
    await press(person, page, "dispute", id=first)
    await press(person, page, "pause", id=subscription["id"])
    page = await press(person, page, "nothing", id="of this")

    charges = await shop.of(customer, "charge")
    assert [(charge["refunded"], charge["disputed"]) for charge in charges] == [(True, False), (False, True)]
    assert (await shop.of(customer))[0]["status"] == "paused"
    assert {"paused", "refunded", "disputed"} <= {word.strip() for word in page.text.replace("<", ">").split(">")}


async def test_whoever_is_not_at_this_machine_finds_nothing(sanic_client: LiveServer, person: Browser) -> None:
    shop = shop_of(sanic_client)
    path = await opened(shop, await shop.customer())
    key = {"authorization": f"Bearer {shop.simulator.api_key}"}
    places = ("/dev/stripe", path, "/dev/stripe/v1/customers")
    elsewhere: list[dict[str, str]] = [{"host": "shop.test"}, {"x-forwarded-for": "203.0.113.5"}]

    refused = [
        (await person.http.get(place, headers={**key, **head})).status_code for place in places for head in elsewhere
    ]
    at_home = [(await person.http.get(place, headers=key)).status_code for place in places]
    stranger = await person.http.get("/dev/stripe/v1/customers", headers={"authorization": "Bearer sk_test_wrong"})
    unknown = [(await person.get(f"/dev/stripe/{place}/nothing")).status_code for place in ("checkout", "portal")]

    assert (refused, at_home) == ([404] * 6, [200] * 3)
    assert (stranger.status_code, unknown) == (401, [404, 404])


@pytest.mark.parametrize(
    "settings",
    [{"environment": "production", "secret_key": STRONG}, {"stripe_secret_key": "sk_test_1"}],
    ids=["production", "a key of Stripe's"],
)
async def test_elsewhere_there_is_no_simulator(database: str, tmp_path: Path, settings: dict[str, str]) -> None:
    async with live_server(settings_for(database, tmp_path, **settings)) as live:
        found = [(await live.http.request(how, "/dev/stripe/v1/customers")).status_code for how in ("GET", "POST")]
        page = await live.http.get("/dev/stripe")

        assert (live.runtime.simulator, [*found, page.status_code]) == (None, [404, 404, 404])
        assert (live.runtime.payments is None) == ("stripe_secret_key" not in settings)


async def test_pages_work_without_a_script_and_say_so(sanic_client: LiveServer, person: Browser) -> None:
    shop = shop_of(sanic_client)
    page = await person.get(await opened(shop, await shop.customer()))

    found = read(page)

    assert "script" not in found.tags
    assert "script" not in page.headers["content-security-policy"]
    assert {each.get("type") for each in found.inputs.values()} == {"hidden", "radio"}
    with contextlib.suppress(KeyError):
        assert found.inputs["card"]["name"] == "card"
