"""Changes of where a tenant's one-time passwords go: they wait for a confirmation from where these went before.

Whoever has a session could else send the next passwords to themselves, and keep the tenant for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson

from app.clock import good_at
from app.context import Actor, Context
from app.database.connections import WriteConnection
from app.errors import ContactChangeNotFoundError, RateLimitedError, TenantLinkInvalidError
from app.events import Event, EventType, record
from app.limits.addresses import network_of
from app.limits.exact_limits import ExactLimit, count_hit
from app.services.directory.lookup import Tenant, tenant_named
from app.services.tenants.deliveries import enqueue_deliveries, request_delivery
from app.services.tenants.profile import Profile, store_changes
from app.services.tenants.sign_in_limits import HOUR, TEN_MINUTES
from sql.statements import contact_changes as statements
from sql.statements import tenant_changes

# Changes that a tenant may ask for in an hour: each is a message to whom the passwords go.
PER_HOUR = 5


class Waiting(NamedTuple):
    """A change that waits: what it changes, where and until when it is to be confirmed, and the messages to send."""

    fields: tuple[str, ...]
    asked_at: str
    expires_at: datetime
    deliveries: tuple[int, ...]


class StoredChange(NamedTuple):
    """A change that waits, as it is stored; ``changes`` is a JSON object of columns."""

    id: int
    tenant_id: int
    changes: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ContactValue:
    """What a field would become; null clears it."""

    field: str
    value: str | None


@dataclass(frozen=True, slots=True)
class ContactChange:
    """A change that waits or was decided; ``state`` is waiting, made or refused."""

    tenant_slug: str
    tenant_name: str
    changes: list[ContactValue]
    state: str
    requested_at: datetime
    expires_at: datetime


async def ask_for_confirmation(
    conn: WriteConnection, ctx: Context, profile: Profile, contacts: Mapping[str, str | None]
) -> Waiting:
    """Let a change wait, in the caller's transaction, which has locked the profile; an earlier one is superseded.

    The same change again asks nobody a second time. Raises RateLimitedError.
    """
    now = ctx.now()
    asked_at = profile.email or profile.phone_number or ""
    waiting = await conn.maybe(statements.waiting_change, StoredChange, tenant_id=profile.id, **_times(ctx))
    if waiting is not None and orjson.loads(waiting.changes) == contacts:
        return Waiting(tuple(contacts), asked_at, waiting.expires_at, ())
    limit = ExactLimit("contact changes of a tenant", PER_HOUR, HOUR)
    if (wait := await count_hit(conn, ctx, limit, str(profile.id))) is not None:
        raise RateLimitedError(retry_after=wait)
    await conn.affected(statements.supersede_change, of_tenant_id=profile.id, now=now)
    row = {"tenant_id": profile.id, "requested_by": ctx.actor.name, "state": "waiting", "created_at": now}
    row |= {"changes": _json(contacts), "previous": _json(_stored(profile, contacts))}
    expires_at = now + timedelta(seconds=ctx.runtime.settings.contact_change_seconds)
    change_id = await conn.one(statements.insert_change, int, **row, expires_at=expires_at)
    delivery = await request_delivery(conn, "contact_change", profile.slug, at=now, contact_change_id=change_id)
    title = f"Where {profile.slug} gets its one-time passwords is to change"
    metadata = _metadata(profile, contacts)
    await record(conn, ctx, Event(EventType.CONTACT_CHANGE_REQUESTED, title, tenant_id=profile.id, metadata=metadata))
    return Waiting(tuple(contacts), asked_at, expires_at, (delivery,))


async def tell_of_contacts(
    conn: WriteConnection, ctx: Context, profile: Profile, contacts: Mapping[str, str | None]
) -> tuple[int, ...]:
    """Have told where one-time passwords went before that they do so no more, when an operator has changed that.

    In the caller's transaction, which has locked the profile and stores the change; what has waited is superseded.
    Answers the messages to send.
    """
    if not contacts:
        return ()
    now = ctx.now()
    await conn.affected(statements.supersede_change, of_tenant_id=profile.id, now=now)
    previous = _stored(profile, contacts)
    if not any(previous.values()):
        return ()
    row = {"tenant_id": profile.id, "requested_by": ctx.actor.name, "state": "made", "created_at": now}
    row |= {"changes": _json(contacts), "previous": _json(previous), "expires_at": now, "decided_at": now}
    change_id = await conn.one(statements.insert_change, int, **row)
    return (await request_delivery(conn, "contact_changed", profile.slug, at=now, contact_change_id=change_id),)


async def change_of_link(ctx: Context, token: str) -> ContactChange:
    """The change that a link is about; nothing is decided. Raises TenantLinkInvalidError."""
    change = await _by_token(ctx, token)
    values = {"token_hash": ctx.runtime.keys.token_hash("contact change", token), **_times(ctx)}
    async with ctx.read() as conn:
        tenant = await conn.maybe(statements.tenant_of_token, Tenant, **values)
    if tenant is None:
        raise TenantLinkInvalidError
    return _shown(tenant, change, "waiting")


async def decide_by_link(ctx: Context, token: str, *, is_confirmed: bool) -> ContactChange:
    """Make or refuse a change, by the link that was sent to where one-time passwords go; the link ends.

    A refusal also ends every session of the tenant: somebody has one who should not. Raises TenantLinkInvalidError,
    RateLimitedError.
    """
    limit = ExactLimit(
        "contact changes of an address", ctx.runtime.settings.one_time_password_guesses_per_address, TEN_MINUTES
    )
    async with ctx.write() as conn:
        wait = await count_hit(conn, ctx, limit, network_of(ctx.address))
    if wait is not None:
        raise RateLimitedError(retry_after=wait)
    decided = await _decide(ctx, await _by_token(ctx, token), is_confirmed=is_confirmed)
    if decided is None:
        raise TenantLinkInvalidError
    return decided


async def waiting_change(ctx: Context, tenant_slug: str) -> ContactChange:
    """The change of a tenant that waits; raises TenantNotFoundError, ContactChangeNotFoundError."""
    tenant = await tenant_named(ctx, tenant_slug)
    async with ctx.read() as conn:
        change = await conn.maybe(statements.waiting_change, StoredChange, tenant_id=tenant.id, **_times(ctx))
    if change is None:
        raise ContactChangeNotFoundError(slug=tenant_slug)
    return _shown(tenant, change, "waiting")


async def decide_as_operator(ctx: Context, tenant_slug: str, *, is_confirmed: bool) -> ContactChange:
    """Make or refuse the change of a tenant that waits, as an operator who knows the tenant otherwise.

    Raises TenantNotFoundError, ContactChangeNotFoundError.
    """
    tenant = await tenant_named(ctx, tenant_slug)
    async with ctx.read() as conn:
        change = await conn.maybe(statements.waiting_change, StoredChange, tenant_id=tenant.id, **_times(ctx))
    decided = None if change is None else await _decide(ctx, change, is_confirmed=is_confirmed)
    if decided is None:
        raise ContactChangeNotFoundError(slug=tenant_slug)
    return decided


async def _decide(ctx: Context, change: StoredChange, *, is_confirmed: bool) -> ContactChange | None:
    """Decide a change and record it; None where it was decided meanwhile."""
    now, contacts = ctx.now(), orjson.loads(change.changes)
    deliveries: list[int] = []
    async with ctx.write() as conn:
        profile = await conn.maybe(tenant_changes.profile_by_id_locked, Profile, tenant_id=change.tenant_id)
        if profile is None:
            return None
        outcome = "made" if is_confirmed else "refused"
        decision = {"outcome": outcome, "before": _json(_stored(profile, contacts))}
        key = {"of_tenant_id": profile.id, "change_id": change.id}
        if not await conn.affected(statements.decide_change, **key, **decision, **_times(ctx)):
            return None
        # Whoever has the link has what the tenant signs in with.
        as_tenant = ctx._replace(actor=Actor("tenant", profile.name, profile.id))
        acting = as_tenant if ctx.actor.type == "visitor" else ctx
        if is_confirmed:
            await store_changes(conn, acting, profile, contacts)
            told = await request_delivery(conn, "contact_changed", profile.slug, at=now, contact_change_id=change.id)
            deliveries.append(told)
        else:
            await conn.affected(statements.end_sessions, of_tenant_id=profile.id)
            title = f"Where {profile.slug} gets its one-time passwords does not change"
            metadata = _metadata(profile, contacts)
            await record(
                conn, acting, Event(EventType.CONTACT_CHANGE_REFUSED, title, tenant_id=profile.id, metadata=metadata)
            )
    enqueue_deliveries(ctx, deliveries)
    return _shown(profile, change, outcome)


async def _by_token(ctx: Context, token: str) -> StoredChange:
    token_hash = ctx.runtime.keys.token_hash("contact change", token)
    async with ctx.read() as conn:
        change = await conn.maybe(statements.change_by_token, StoredChange, token_hash=token_hash, **_times(ctx))
    if change is None:
        raise TenantLinkInvalidError
    return change


def _times(ctx: Context) -> dict[str, datetime]:
    """What the end of a wait is compared with."""
    return good_at(ctx.now(), ctx.runtime.settings.contact_change_seconds)


def _metadata(profile: Profile, contacts: Mapping[str, str | None]) -> dict[str, object]:
    differences = {name: {"from": getattr(profile, name), "to": value} for name, value in contacts.items()}
    return {"slug": profile.slug, "changes": differences}


def _stored(profile: Profile, contacts: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name: getattr(profile, name) for name in contacts}


def _json(values: Mapping[str, str | None]) -> str:
    return orjson.dumps(dict(values)).decode()


def _values(change: StoredChange) -> list[ContactValue]:
    return [ContactValue(name, value) for name, value in orjson.loads(change.changes).items()]


def _shown(tenant: Tenant | Profile, change: StoredChange, state: str) -> ContactChange:
    return ContactChange(tenant.slug, tenant.name, _values(change), state, change.created_at, change.expires_at)
