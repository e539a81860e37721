"""Browsers in which a tenant has signed in before: a signed cookie gives each allowances of its own, and no access."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from app.access.keys import Keys
from app.context import Context
from app.services.directory.lookup import Tenant
from sql.statements import tenants as statements

COOKIE_PREFIX = "known_"
_MARK = re.compile(r"(\d{1,19})\.([A-Za-z0-9_-]{16,32})\.(\d{1,12})", re.ASCII)


class KnownBrowser(NamedTuple):
    """A browser, by the random name that it was given at a sign-in of this tenant."""

    tenant_id: int
    name: str


class Mark(NamedTuple):
    """The cookie by which a browser is known again: its name and value, and for how many seconds it is good."""

    name: str
    value: str
    seconds: int


def cookie_name(tenant_slug: str) -> str:
    """The cookie's name, another one for each tenant."""
    return COOKIE_PREFIX + hashlib.sha256(tenant_slug.encode()).hexdigest()[:16]


async def known_browser(ctx: Context, tenant_slug: str, marks: Iterable[str]) -> KnownBrowser | None:
    """The browser that shows one of these values, if we have signed it for the tenant that has the slug now.

    Without a good signature the database is not asked: the answer to a stranger takes as long for any slug.
    """
    now = ctx.runtime.clock.timestamp()
    if not (found := [known for mark in marks if (known := _read(ctx.runtime.keys, mark, now)) is not None]):
        return None
    async with ctx.read() as conn:
        tenant = await conn.maybe(statements.by_slug, Tenant, tenant_slug=tenant_slug)
    return next((known for known in found if tenant is not None and known.tenant_id == tenant.id), None)


def new_mark(ctx: Context, tenant: Tenant, browser: KnownBrowser | None) -> Mark:
    """The cookie for a browser in which the tenant signs in; one that was known before keeps its name."""
    name = secrets.token_urlsafe(18) if browser is None else browser.name
    life = timedelta(days=ctx.runtime.settings.known_browser_days)
    text = f"{tenant.id}.{name}.{int((ctx.now() + life).timestamp())}"
    value = f"{text}.{_signature(ctx.runtime.keys, text)}"
    return Mark(cookie_name(tenant.slug), value, int(life.total_seconds()))


def _read(keys: Keys, mark: str, now: float) -> KnownBrowser | None:
    text, _, signature = mark.rpartition(".")
    if not mark.isascii() or not hmac.compare_digest(signature, _signature(keys, text)):
        return None
    parts = _MARK.fullmatch(text)
    return KnownBrowser(int(parts[1]), parts[2]) if parts is not None and now < int(parts[3]) else None


def _signature(keys: Keys, text: str) -> str:
    # With a beginning that no other cookie has, so that none is good in another's place.
    return urlsafe_b64encode(keys.cookie_mark(f"known browser {text}")).decode().rstrip("=")
