"""The pages of Stripe's simulator in a real browser without scripts: paid by the keyboard, and on a narrow screen."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page
from support.live import LiveServer
from support.stripe import FAILS_LATER, Shop

pytestmark = pytest.mark.browser


@contextlib.asynccontextmanager
async def page_of(chromium: Browser, live: LiveServer, **options: Any) -> AsyncIterator[Page]:
    """A page in a browser that runs no script; whatever it complains of, but a status, fails the test."""
    complaints: list[str] = []
    context = await chromium.new_context(base_url=live.base_url, java_script_enabled=False, **options)
    context.set_default_timeout(15_000)
    page = await context.new_page()
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    try:
        yield page
    finally:
        await context.close()
    assert [each for each in complaints if not each.startswith("Failed to load resource")] == []


def shop_of(live: LiveServer) -> Shop:
    assert live.runtime.simulator is not None
    assert live.runtime.payments is not None
    return Shop(live.runtime.simulator, live.runtime.payments)


async def test_the_keyboard_pays_and_leads_back_to_the_shop(chromium: Browser, live: LiveServer) -> None:
    shop = shop_of(live)
    customer = await shop.customer()
    session = await shop.gateway.open_subscription(
        customer_id=customer,
        price_id="price_pro",
        metadata={},
        success_url=f"{live.base_url}/healthz?paid=true",
        cancel_url=f"{live.base_url}/healthz?paid=false",
        key="checkout",
    )
    async with page_of(chromium, live) as page:
        await page.goto(urlsplit(session.url).path)
        for _ in range(10):
            await page.keyboard.press("Tab")
            focus = page.locator(":focus")
            if await focus.get_attribute("name") == "card":
                break
        for _ in range(3):
            await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        alert = await page.locator("[role=alert]").inner_text()
        await page.locator("input[value='4242424242424242']").check()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/healthz?paid=true")

    assert alert == "Your card was declined. Choose another card."
    assert [each["status"] for each in await shop.of(customer)] == ["active"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits_a_narrow_screen(chromium: Browser, live: LiveServer, scheme: str) -> None:
    shop = shop_of(live)
    customer = await shop.customer()
    subscription = await shop.subscribe(customer, card=FAILS_LATER)
    session = await shop.purchase(customer, "4000000000000002")
    where = {"customer_id": customer, "return_url": live.base_url}
    portal = await shop.gateway.open_portal(**where, key="portal")
    item = subscription["items"]["data"][0]["id"]
    change = await shop.gateway.open_plan_change(
        **where, subscription_id=subscription["id"], item_id=item, price_id="price_starter", key="change"
    )
    invoice = (await shop.of(customer, "invoice"))[0]["hosted_invoice_url"]

    async with page_of(chromium, live, viewport={"width": 320, "height": 640}, color_scheme=scheme) as page:
        for address in ("/dev/stripe", session.url, portal.url, change.url, invoice):
            await page.goto(urlsplit(address).path)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert (width, await page.locator("h1").count()) == (320, 1), address
            labeled = await page.locator("label > input, .field input").count()
            assert await page.locator("input:not([type=hidden])").count() == labeled, address
