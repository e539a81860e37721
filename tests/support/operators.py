"""Operators as tests need them: with an account, a browser that keeps cookies, and a session from the real forms."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import AsyncIterator

import httpx2
from httpx2 import Response
from support.live import LiveServer

from app.access.permissions import Role
from app.services.operators import accounts

PASSWORD = "a password of the tests"
HTML = {"accept": "text/html,application/xhtml+xml"}


class Browser:
    """A person at a browser: cookies are kept, forms are sent as they were shown, redirects are not followed."""

    def __init__(self, live: LiveServer, http: httpx2.AsyncClient) -> None:
        self.live = live
        self.http = http

    @property
    def session(self) -> str | None:
        """The session cookie."""
        return self.http.cookies.get("session")

    async def get(self, path: str, **options: object) -> Response:
        """Look at a page."""
        return await self.http.get(path, **options)

    async def send(self, page: str, path: str, *, origin: str | None = "own", **fields: str) -> Response:
        """Load a page and send its form with these fields."""
        shown = await self.get(page)
        form = {"form_token": form_token(shown), **fields}
        named = self.live.base_url if origin == "own" else origin
        return await self.http.post(path, data=form, headers={"origin": named} if named else {})

    async def sign_in(self, email: str, password: str = PASSWORD) -> Response:
        """Send the sign-in form."""
        return await self.send("/admin/login", "/auth/local", email=email, password=password)


def form_token(page: Response) -> str:
    """The token of the form on a page."""
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page.text)
    assert found, page.text
    return found[1]


@contextlib.asynccontextmanager
async def browser(live: LiveServer) -> AsyncIterator[Browser]:
    """A browser without cookies yet."""
    async with httpx2.AsyncClient(
        base_url=live.base_url, trust_env=False, verify=False, timeout=60, headers=HTML, follow_redirects=False
    ) as http:
        yield Browser(live, http)


async def new_operator(live: LiveServer, role: Role = Role.OWNER, email: str | None = None) -> str:
    """The address of a new operator who has the tests' password."""
    address = email or f"{uuid.uuid4().hex[:8]}@example.com"
    await accounts.ensure_operator(live.ctx, email=address, role=role, password=PASSWORD)
    return address


@contextlib.asynccontextmanager
async def signed_in(live: LiveServer, role: Role = Role.OWNER) -> AsyncIterator[Browser]:
    """The browser of a new operator who has signed in by password."""
    async with browser(live) as person:
        answer = await person.sign_in(await new_operator(live, role))
        assert answer.status_code == 303, answer.text
        yield person


def own_origin(live: LiveServer) -> dict[str, str]:
    """What the portal's own pages send with a change."""
    return {"origin": live.runtime.settings.public_url, "accept": "application/json"}
