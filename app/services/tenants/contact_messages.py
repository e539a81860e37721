"""Messages about where a tenant's one-time passwords go: asking for a confirmation, and telling of a change."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import orjson

from app.clock import good_at
from app.context import Context
from app.messages.ports import Channel, Mail
from app.services.tenants.messages import (
    contact_change_mail,
    contact_change_text,
    contact_changed_mail,
    contact_changed_text,
)
from sql.statements import contact_changes as statements

PATH = "/contact-change/"
_WORDS = {"email": "e-mail address", "phone_number": "telephone number"}


class Outgoing(NamedTuple):
    """The ways in which a message goes out, of which one is enough, and what nobody else may read in it."""

    ways: list[Callable[[], Awaitable[None]]]
    secret: str


class About(NamedTuple):
    """What a message is about: the tenant, the change, where the tenant is reached now, and how by telephone."""

    tenant_id: int
    tenant_name: str
    change_id: int
    contacts: Mapping[str, str | None]
    channel: Channel


class _Values(NamedTuple):
    changes: str
    previous: str
    state: str
    expires_at: datetime


def fields_in_words(fields: Iterable[str]) -> str:
    """The fields as people call them."""
    return " and the ".join(_WORDS[name] for name in fields)


def changes_in_words(changes: Mapping[str, str | None]) -> str:
    """What each field becomes."""
    return " and ".join(f"the {_WORDS[name]} to {value or 'none'}" for name, value in changes.items())


def hours_until(moment: datetime, now: datetime) -> int:
    """How many hours are left, rounded; one at least."""
    return max(1, round((moment - now) / timedelta(hours=1)))


async def asking(ctx: Context, about: About) -> Outgoing | None:
    """How a confirmation is asked for where one-time passwords go; None where the change was decided or has ended.

    Each message has a link of its own, of which a keyed hash is stored; the newest one works.
    """
    settings, now = ctx.runtime.settings, ctx.now()
    token = secrets.token_urlsafe(32)
    async with ctx.write_autocommit() as conn:
        times = good_at(now, settings.contact_change_seconds)
        key = {"of_tenant_id": about.tenant_id, "change_id": about.change_id}
        token_hash = ctx.runtime.keys.token_hash("contact change", token)
        if not await conn.affected(statements.set_token, **key, new_token_hash=token_hash, **times):
            return None
    change = await _values(ctx, about)
    if change is None:
        return None
    link = settings.public_url.rstrip("/") + PATH + token
    hours = hours_until(change.expires_at, now)
    words, name = changes_in_words(orjson.loads(change.changes)), about.tenant_name
    return _out(
        ctx,
        about,
        about.contacts,
        lambda to: contact_change_mail(to, name, words, link, hours, now),
        contact_change_text(name, words, link, hours),
        token,
    )


async def telling(ctx: Context, about: About) -> Outgoing | None:
    """How somebody is told, where one-time passwords went before, that they do so no more."""
    if (change := await _values(ctx, about)) is None or change.state != "made":
        return None
    words, now, name = changes_in_words(orjson.loads(change.changes)), ctx.now(), about.tenant_name
    return _out(
        ctx,
        about,
        orjson.loads(change.previous),
        lambda to: contact_changed_mail(to, name, words, now),
        contact_changed_text(name, words),
        "",
    )


async def _values(ctx: Context, about: About) -> _Values | None:
    values = {"tenant_id": about.tenant_id, "change_id": about.change_id}
    async with ctx.read() as conn:
        return await conn.maybe(statements.change_values, _Values, **values)


def _out(
    ctx: Context,
    about: About,
    contacts: Mapping[str, str | None],
    mail: Callable[[str], Mail],
    text: str,
    secret: str,
) -> Outgoing:
    """By mail where there is an address, and by telephone where there is a number."""
    ways: list[Callable[[], Awaitable[None]]] = []
    if email := contacts.get("email"):
        ways.append(partial(ctx.runtime.mailer.send, mail(email)))
    if phone := contacts.get("phone_number"):
        ways.append(partial(ctx.runtime.messenger.send, about.channel, phone, text))
    return Outgoing(ways, secret)
