"""The browser of this machine, one for the whole run; where there is none, its tests are reported as skipped."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright
from support.clocks import MovableClock
from support.live import LiveServer, live_server

from app.settings import Settings

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        # No library can bring one along, and everything else runs without.
        reason = f"no browser on this machine: none of {', '.join(NAMES)} is installed"
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A browser without windows."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--no-proxy-server"])
        yield browser
        await browser.close()


@pytest.fixture
async def live(settings: Settings, clock: MovableClock) -> AsyncIterator[LiveServer]:
    """The running server; what drives the browser blocks the loop now and then, so nobody watches for it here."""
    async with live_server(settings, clock) as server:
        yield server
