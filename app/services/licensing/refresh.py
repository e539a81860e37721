"""Refresh: a one-time token buys the next pair; one that is shown twice closes its whole family.

Requests that wait in the same worker share the statement that reads what decides and the one that rotates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any, NamedTuple

from app.access.keys import Keys
from app.context import Context
from app.database.connections import as_batch
from app.errors import (
    DeviceAccessRevokedError,
    RefreshTokenExpiredError,
    RefreshTokenInvalidError,
    RefreshTokenReusedError,
    TenantNotFoundError,
)
from app.errors.verdict import ALLOWED, Verdict
from app.events import Event, EventType, record
from app.runtime import Coalesced, Runtime
from app.services.billing.allowance import may
from app.services.directory.lookup import find_tenant
from app.services.licensing.token_pairs import (
    Entitlements,
    RefreshToken,
    TokenPair,
    new_refresh_token,
    read_refresh_token,
    token_pair,
)
from sql.statements import licensing


@dataclass(frozen=True, slots=True)
class Situation:
    """The family the token belongs to, its device, and what the tenant's subscription grants."""

    tenant_id: int
    device_id: int | None
    token_hash: bytes | None
    expires_at: datetime | None
    revoked_at: datetime | None
    device_is_revoked: bool | None
    subscription_state: str | None
    plan_name: str | None
    monthly_run_quota: int | None


class Shown(NamedTuple):
    """A token of ours, and whose its bearer says it is."""

    tenant_slug: str
    device_id: int
    token: RefreshToken


class Renewal(NamedTuple):
    """What was found (None: no such tenant), what it allows, and the next token, or None where another one has it."""

    situation: Situation | None
    verdict: Verdict
    token: RefreshToken | None


async def refresh(ctx: Context, tenant_slug: str, device_id: int, refresh_token: str) -> TokenPair:
    """Replace a refresh token by a new pair of tokens.

    Of several requests with the same token one succeeds; each other one proves that the token is in two hands, and
    revokes the family. Raises TenantNotFoundError, an UnauthenticatedError, or what the subscription says.
    """
    runtime = ctx.runtime
    token = read_refresh_token(runtime.keys, refresh_token)
    if token is None:
        # Not ours; all that its bearer may learn is whether there is such a tenant.
        async with runtime.db.read() as conn:
            await find_tenant(conn, tenant_slug)
        raise RefreshTokenInvalidError
    # By the family, which the token proves; anybody may write any device's id beside it.
    await runtime.rate_limits.count_device_request(token.family_id)
    situation, verdict, renewed = await runtime.coalescer(RENEWALS).ask(Shown(tenant_slug, device_id, token))
    verdict.enforce()
    if situation is None:
        raise TenantNotFoundError(slug=tenant_slug)
    if renewed is None:
        await _close_family(ctx, situation, token)
        raise RefreshTokenReusedError
    granted = Entitlements(situation.plan_name, situation.monthly_run_quota or 0, situation.subscription_state)
    return token_pair(ctx, situation.tenant_id, device_id, renewed, granted)


def judge(situation: Situation, now: datetime) -> Verdict:
    """Whether the family, its device and the subscription allow a new pair."""
    if situation.device_id is None or situation.expires_at is None:
        # Whoever shows no token of this device learns nothing of it.
        return Verdict(RefreshTokenInvalidError)
    if situation.device_is_revoked:
        return Verdict(DeviceAccessRevokedError)
    if situation.revoked_at is not None:
        return Verdict(RefreshTokenInvalidError)
    if situation.expires_at <= now:
        return Verdict(RefreshTokenExpiredError)
    return may("refresh_token", situation.subscription_state)


async def _renew(runtime: Runtime, shown: Sequence[Shown]) -> list[Renewal]:
    """Read what decides, judge, and rotate what may be, with one statement each; the rotation is the guard."""
    now = runtime.clock.now()
    found = await _look(runtime, shown)
    verdicts = [ALLOWED if (known := found.get(_key(one))) is None else judge(known, now) for one in shown]
    # Of those that show a family's current token the first has it; whoever shows it beside has a used one.
    winners: dict[str, tuple[Shown, RefreshToken]] = {}
    for one, verdict in zip(shown, verdicts, strict=True):
        situation = found.get(_key(one))
        if verdict.allowed and situation is not None and _is_current(runtime.keys, situation, one.token):
            winners.setdefault(one.token.family_id, (one, new_refresh_token(runtime.keys, one.token.family_id)))
    rotated = await _rotate(runtime, found, winners, now)
    return [
        Renewal(found.get(_key(one)), verdict, winners[family_id][1])
        if (family_id := one.token.family_id) in rotated and winners[family_id][0] is one
        else Renewal(found.get(_key(one)), verdict, None)
        for one, verdict in zip(shown, verdicts, strict=True)
    ]


async def _look(runtime: Runtime, shown: Sequence[Shown]) -> dict[tuple[str, int, str], Situation]:
    asked = dict.fromkeys(_key(one) for one in shown)
    batch = as_batch(
        [{"tenant_slug": slug, "device_id": device, "family_id": family} for slug, device, family in asked]
    )
    async with runtime.db.read() as conn:
        rows = await conn.rows(licensing.refresh_situations, batch=batch)
    found: dict[tuple[str, int, str], Situation] = {}
    for row in rows:
        slug, device_id, family_id, *rest = tuple[Any, ...](row)
        found[slug, device_id, family_id] = Situation(*rest)
    return found


async def _rotate(
    runtime: Runtime,
    found: Mapping[tuple[str, int, str], Situation],
    winners: Mapping[str, tuple[Shown, RefreshToken]],
    now: datetime,
) -> set[str]:
    """The families whose token was replaced; one that another worker has replaced meanwhile is not among them."""
    if not winners:
        return set()
    hashed = runtime.keys.refresh_token_hash
    batch = [
        {
            "tenant_id": found[_key(one)].tenant_id,
            "family_id": family_id,
            "shown_hash": hashed(one.token.text).hex(),
            "next_hash": hashed(renewed.text).hex(),
        }
        for family_id, (one, renewed) in sorted(winners.items())
    ]
    next_expires_at = now + timedelta(seconds=runtime.settings.refresh_token_seconds)
    async with runtime.db.write_autocommit() as conn:
        rows = await conn.rows(
            licensing.rotate_refresh_tokens, batch=as_batch(batch), next_expires_at=next_expires_at, now=now
        )
    return {row.id for row in rows}


def _key(shown: Shown) -> tuple[str, int, str]:
    return shown.tenant_slug, shown.device_id, shown.token.family_id


def _is_current(keys: Keys, situation: Situation, token: RefreshToken) -> bool:
    return situation.token_hash is not None and compare_digest(
        situation.token_hash, keys.refresh_token_hash(token.text)
    )


async def _close_family(ctx: Context, situation: Situation, token: RefreshToken) -> None:
    now = ctx.now()
    async with ctx.write() as conn:
        closed = await conn.affected(
            licensing.revoke_refresh_family, of_tenant_id=situation.tenant_id, family_id=token.family_id, now=now
        )
        if closed:
            title = f"Refresh token of device {situation.device_id} used twice; its tokens are revoked"
            event = Event(
                EventType.REFRESH_TOKEN_REUSED, title, tenant_id=situation.tenant_id, device_id=situation.device_id
            )
            await record(conn, ctx, event)


RENEWALS = Coalesced("refresh", _renew, lanes=1)
