"""The pages in a real browser without scripts: by the keyboard alone, on a narrow screen, and with no complaint."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page
from support.builders import activated, licensed
from support.live import LiveServer
from support.operators import PASSWORD, new_operator

pytestmark = pytest.mark.browser

# More than there are places to stop at on any page of these tests.
MAX_STOPS = 60
PATIENCE = 15_000


@contextlib.asynccontextmanager
async def page_of(chromium: Browser, live: LiveServer, **options: Any) -> AsyncIterator[Page]:
    """A page of a new person in a browser that runs no script; whatever the browser complains of fails the test."""
    complaints: list[str] = []
    context = await chromium.new_context(base_url=live.base_url, java_script_enabled=False, **options)
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda answer: answer.status >= 400 and complaints.append(f"{answer.url}: {answer.status}"))
    try:
        yield page
    finally:
        await context.close()
    assert complaints == []


async def stop_at(page: Page, place: str) -> None:
    """Go on with Tab until the focus is at this link or button, or in the field with this id, and can be seen there."""
    for _ in range(MAX_STOPS):
        await page.keyboard.press("Tab")
        focus = page.locator(":focus")
        if await focus.count() and place in {
            await focus.get_attribute("id"),
            " ".join((await focus.inner_text()).split()),
        }:
            assert await focus.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
            return
    pytest.fail(f"Tab never comes to {place}")


async def follow(page: Page, place: str) -> None:
    """Go to this link or button with Tab, and press Enter."""
    await stop_at(page, place)
    await enter(page)


async def enter(page: Page) -> None:
    """Press Enter where it leads on."""
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def sign_in(page: Page, live: LiveServer) -> str:
    """Sign in as a new owner, by the keyboard."""
    email = await new_operator(live)
    await page.goto("/")
    assert page.url.endswith("/admin/login")
    # The page puts the focus there by itself, some moments after it has loaded.
    await page.locator("#email:focus").wait_for()
    await page.keyboard.type(email)
    await page.keyboard.press("Tab")
    await page.locator("#password:focus").wait_for()
    await page.keyboard.type(PASSWORD)
    await enter(page)
    return email


async def fits(page: Page) -> bool:
    """Whether nothing of a page is wider than the screen, and each of its fields has a label."""
    width = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    fields = page.locator("input:not([type=hidden])")
    labels = await fields.evaluate_all("fields => fields.map(field => field.labels.length)")
    return bool(width[0] <= width[1]) and 0 not in labels


async def test_codes_are_made_seen_once_and_revoked_by_the_keyboard_alone(chromium: Browser, live: LiveServer) -> None:
    tenant = await licensed(live)
    async with page_of(chromium, live) as page:
        email = await sign_in(page, live)
        assert await page.locator(".account").inner_text() == f"{email} Sign out"
        await follow(page, "Codes")
        await stop_at(page, "tenant")
        await page.keyboard.type(tenant.slug)
        await enter(page)
        await stop_at(page, "count")
        await page.keyboard.type("2")
        await stop_at(page, "label")
        await page.keyboard.type("<b>Spring</b>")
        await follow(page, "Make codes")

        codes = await page.locator(".new li").all_inner_texts()
        assert len(codes) == 2
        assert await page.locator(":focus").inner_text() == "2 new codes"
        assert codes[0] not in page.url
        await page.reload()
        assert await page.locator(".new li").all_inner_texts() == codes
        await follow(page, "I have copied them")
        assert page.url.endswith(f"/admin/codes?tenant={tenant.slug}")
        assert not [code for code in codes if code in await page.content()]
        rows = page.locator("tbody tr")
        assert [row.split("\t")[1:4] for row in await rows.all_inner_texts()][:2] == [
            [code[-4:], "<b>Spring</b>", "active"] for code in reversed(codes)
        ]

        await follow(page, f"Revoke code {await rows.first.locator('th').inner_text()}, which ends in {codes[1][-4:]}")
        assert await page.locator("h1").inner_text() == "Revoke a code"
        await follow(page, "Revoke the code")
        assert page.url.endswith(f"/admin/codes?tenant={tenant.slug}")
        assert re.findall("active|revoked", " ".join(await rows.all_inner_texts())) == ["revoked", "active", "active"]
        await follow(page, "Sign out")
        await follow(page, "Sign out")
        assert page.url.endswith("/admin/login")


async def test_a_device_is_revoked_by_the_keyboard_alone(chromium: Browser, live: LiveServer) -> None:
    device = await activated(live)
    async with page_of(chromium, live) as page:
        await sign_in(page, live)
        await follow(page, "Devices")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await stop_at(page, "tenant")
        await page.keyboard.type(device.tenant.slug)
        await enter(page)
        await follow(page, f"Revoke device {device.device_id}")
        await follow(page, "Revoke the device")
        assert (await page.locator("tbody tr").inner_text()).split("\t")[3] == "yes"
    assert (await live.http.get("/licenses/policy", headers=device.headers)).status_code == 401


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits_a_narrow_screen_and_labels_its_fields(
    chromium: Browser, live: LiveServer, scheme: str
) -> None:
    device = await activated(live)
    query = f"tenant={device.tenant.slug}"
    screen = {"viewport": {"width": 320, "height": 640}, "color_scheme": scheme}
    async with page_of(chromium, live, **screen) as page:
        await page.goto("/admin/login")
        assert await fits(page)
        await sign_in(page, live)
        for path in (
            "/admin",
            "/admin/codes",
            f"/admin/codes?{query}",
            f"/admin/codes/revoke?{query}&code_id=1",
            f"/admin/devices?{query}",
            f"/admin/devices/revoke?{query}&device_id={device.device_id}",
            "/auth/logout",
            "/dev/mailbox",
        ):
            await page.goto(path)
            assert await fits(page), path
            assert await page.locator("h1").count() == 1
