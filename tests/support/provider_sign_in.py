"""A portal whose operators sign in with the tests' identity provider, and a browser that goes there and back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
from httpx2 import Response
from sqlalchemy import select
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.operators import Browser, browser
from support.provider import Provider
from support.rows import rows

from app.settings import Settings
from sql.tables import operators

ANN = {"email": "Ann@Example.com", "email_verified": True, "name": "Ann"}


@contextlib.asynccontextmanager
async def portal(
    settings: Settings, provider: Provider, clock: MovableClock | None = None, **allowed: Any
) -> AsyncIterator[tuple[LiveServer, Browser]]:
    """A server that uses the provider and lets in whom ``allowed`` says, and a browser."""
    values = Settings(**{**settings.model_dump(), **provider.settings, **allowed})
    async with live_server(values, clock) as live, browser(live) as person:
        yield live, person


async def sent_away(person: Browser) -> str:
    """Where the portal sends the browser to."""
    answer = await person.get("/auth/login")
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def vouched(address: str, claims: dict[str, Any] = ANN, **how: Any) -> str:
    """Where the provider sends the browser back to, after it was asked to vouch for these claims."""
    asked = urlencode({"claims": json.dumps(claims), **how})
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{address}&{asked}")
    back = urlsplit(answer.headers["location"])
    return f"{back.path}?{back.query}"


async def sign_in(person: Browser, claims: dict[str, Any] = ANN, **how: Any) -> Response:
    """The portal's answer when the browser comes back."""
    return await person.get(await vouched(await sent_away(person), claims, **how))


def attempt_cookie(person: Browser) -> str:
    """The name of the only attempt's cookie in a browser."""
    (name,) = [cookie for cookie in person.http.cookies if cookie.startswith("sign_in_")]
    return name


async def accounts_of(live: LiveServer) -> list[tuple[str, str, str | None]]:
    """Every operator's address, role and name, in the order in which they came."""
    found = await rows(live, select(operators.c.email, operators.c.role, operators.c.name).order_by(operators.c.id))
    return [tuple(row) for row in found]
