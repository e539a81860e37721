"""Tenants who sign in from several places: a server behind one proxy, which says where each request comes from."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx2
from httpx2 import Response
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.sign_in import GENERATE, VERIFY

from app.settings import Settings


class Place:
    """A browser at an address; it keeps its cookies."""

    def __init__(self, live: LiveServer, http: httpx2.AsyncClient) -> None:
        self.live, self.http = live, http

    async def generate(self, slug: str) -> Response:
        """The answer to asking for a code."""
        return await self.http.post(GENERATE, json={"tenant_slug": slug})

    async def verify(self, slug: str, code: str) -> Response:
        """The answer to signing in with a code."""
        return await self.http.post(VERIFY, json={"tenant_slug": slug, "otp_code": code})


@contextlib.asynccontextmanager
async def behind_a_proxy(settings: Settings, clock: MovableClock) -> AsyncIterator[LiveServer]:
    """A server that believes one proxy."""
    async with live_server(settings.model_copy(update={"proxies_count": 1}), clock) as live:
        yield live


@contextlib.asynccontextmanager
async def browser_at(live: LiveServer, address: str) -> AsyncIterator[Place]:
    """A browser without cookies at this address."""
    headers = {"x-forwarded-for": address}
    async with httpx2.AsyncClient(
        base_url=live.base_url, headers=headers, trust_env=False, verify=False, timeout=60
    ) as http:
        yield Place(live, http)


@contextlib.asynccontextmanager
async def strangers(live: LiveServer, count: int) -> AsyncIterator[list[Place]]:
    """So many browsers at as many addresses."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(browser_at(live, f"198.51.{number // 250}.{number % 250 + 1}"))
            for number in range(count)
        ]
