"""The explorer of GraphQL in a real browser: by the keyboard alone, and with no complaint of the browser's."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Locator, Page, expect
from support.admin import as_tenant, operator_cookie
from support.builders import licensed
from support.journey import until
from support.live import LiveServer, live_server
from support.projects import created
from support.sockets import held

from app.settings import Settings

pytestmark = pytest.mark.browser

PATIENCE = 15_000
# More than there are places to stop at.
MAX_STOPS = 40


@contextlib.asynccontextmanager
async def explorer(chromium: Browser, live: LiveServer, **headers: str) -> AsyncIterator[tuple[Page, list[str]]]:
    """The page, and what the browser complains of; refusals of the server are told on the page and no complaint."""
    complaints: list[str] = []
    context = await chromium.new_context(base_url=live.base_url, viewport={"width": 1200, "height": 900})
    context.set_default_timeout(PATIENCE)
    if (cookie := headers.get("cookie")) is not None:
        name, _, value = cookie.partition("=")
        await context.add_cookies([{"name": name, "value": value, "url": live.base_url}])
    page = await context.new_page()
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request", lambda sent: live.base_url in sent.url or sent.url.startswith("data:") or complaints.append(sent.url)
    )
    try:
        await page.goto("/graphql")
        yield page, complaints
    finally:
        await context.close()


async def stop_at(page: Page, name: str) -> None:
    """Go on with Tab until the focus is at the button or in the editor that has this name."""
    for _ in range(MAX_STOPS):
        await page.keyboard.press("Tab")
        focus = page.locator(":focus")
        if await focus.count() and await focus.get_attribute("aria-label") == name:
            return
    pytest.fail(f"Tab never comes to {name}")


async def write(page: Page, editor: str, text: str) -> None:
    """Put a text in the place of what is in an editor."""
    await stop_at(page, editor)
    await page.keyboard.press("Control+A")
    await page.keyboard.insert_text(text)


def result(page: Page) -> Locator:
    """What was answered."""
    return page.get_by_role("region", name="Result Window")


async def test_an_operator_asks_with_the_cookie_and_reads_the_schema(chromium: Browser, settings: Settings) -> None:
    async with live_server(settings.model_copy(update={"environment": "production"})) as live:
        # The portal's own pages are where a test finds a free port.
        live.runtime.settings = live.runtime.settings.model_copy(update={"public_url": live.base_url})
        await created(live, await licensed(live), "Hat Shop")
        async with explorer(chromium, live, **await operator_cookie(live)) as (page, complaints):
            await stop_at(page, "Query Editor")
            await page.keyboard.press("Control+Enter")
            await expect(result(page)).to_contain_text("Hat Shop")
            for name in ("Show Documentation Explorer", "Open short keys dialog", "Open settings dialog"):
                await stop_at(page, name)
                await page.keyboard.press("Enter")
                shown = (
                    page.get_by_label("Documentation Explorer", exact=True)
                    if "Show" in name
                    else page.get_by_role("dialog")
                )
                await expect(shown).to_be_visible()
                await page.keyboard.press("Escape")
            # From the schema, with its descriptions.
            await expect(page.get_by_text("Subscription", exact=True)).to_be_visible()
        assert complaints == []


async def test_a_tenant_writes_its_token_and_follows(chromium: Browser, live: LiveServer) -> None:
    mine = await as_tenant(live, (await licensed(live)).tenant_id)
    subscription = "subscription { systemMetricsStream(intervalSeconds: 1) { timestamp activeTasks } }"
    async with explorer(chromium, live) as (page, complaints):
        await expect(result(page)).to_contain_text("unauthenticated")
        await write(page, "Query Editor", subscription)
        await write(page, "Headers", f'{{"Authorization": "Bearer {mine["x-session-token"]}"}}')
        await page.keyboard.press("Control+Enter")
        await expect(result(page)).to_contain_text("systemMetricsStream")
        first = await result(page).inner_text()
        await expect(result(page)).not_to_have_text(first)
        assert held(live)[0] == 1
        await stop_at(page, "Stop query (Ctrl-Enter)")
        await page.keyboard.press("Enter")
        await until(lambda: held(live) == (0, 0))
        # What was refused before anybody had written a token.
        assert {"401" in complaint for complaint in complaints} <= {True}
        # The token stays on the page, and the document for the next time.
        assert mine["x-session-token"] not in str(await page.evaluate("JSON.stringify([localStorage, sessionStorage])"))
        await page.reload()
        await expect(page.get_by_role("region", name="Query Editor")).to_contain_text("intervalSeconds")
