"""Refresh: a device exchanges its one-time token for the next pair; one that is used twice closes its whole family.

An answer may be lost, and two threads may send one token: within a grace, and while its successor was not used, a token
gets the same successor again. Requests that wait in the same worker share two statements: one reads their situations,
one replaces their tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any, NamedTuple

from app.access.keys import Keys
from app.context import VISITOR, Context
from app.database.connections import as_batch
from app.errors import (
    DeviceAccessRevokedError,
    DeviceLimitReachedError,
    DeviceReleasedError,
    OverloadedError,
    RefreshTokenExpiredError,
    RefreshTokenInvalidError,
    RefreshTokenReusedError,
    RefreshTokenSupersededError,
    TenantNotFoundError,
)
from app.errors.verdict import ALLOWED, Verdict
from app.events import Event, EventType, record
from app.limits.guesses import guessing
from app.runtime import Coalesced, Runtime
from app.services.billing.allowance import Standing, may
from app.services.billing.clock import billing_now
from app.services.directory.lookup import find_tenant
from app.services.licensing.clones import count_clone
from app.services.licensing.enrollment import GuardRefusedError, take_seats
from app.services.licensing.token_pairs import (
    Entitlements,
    RefreshToken,
    TokenPair,
    next_refresh_token,
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
    rotated_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    superseded_at: datetime | None
    is_successor_used: bool | None
    came_back_at: datetime | None
    device_is_revoked: bool | None
    seat_held: bool | None
    released_at: datetime | None
    subscription_state: str | None
    grace_until: datetime | None
    trial_ends_at: datetime | None
    plan_name: str | None
    monthly_run_quota: int | None
    max_devices: int | None

    @property
    def needs_seat(self) -> bool:
        """Whether the device has lost its seat by silence, and takes one before its token is replaced."""
        return self.device_id is not None and not self.seat_held

    def was_superseded(self, overlaps_since: datetime) -> bool:
        """Whether a later activation of the device has ended the family; one since then may overlap with it."""
        if self.superseded_at is None:
            return False
        return self.revoked_at is not None or bool(self.is_successor_used) or self.superseded_at <= overlaps_since


class RefreshRequest(NamedTuple):
    """A refresh token that we have issued, and the tenant and the device that the request names beside it."""

    tenant_slug: str
    device_id: int
    token: RefreshToken

    @property
    def key(self) -> tuple[str, int, str]:
        """What its situation is found by."""
        return self.tenant_slug, self.device_id, self.token.family_id


class RefreshOutcome(NamedTuple):
    """The situation (None: no such tenant), the verdict, and the next token; None where the shown one is used up.

    With ``needs_seat`` the token is good, and nothing has changed: its device takes a seat first.
    """

    situation: Situation | None
    verdict: Verdict
    token: RefreshToken | None
    needs_seat: bool = False


async def refresh(ctx: Context, tenant_slug: str, device_id: int, refresh_token: str) -> TokenPair:
    """Replace a refresh token by a new pair of tokens.

    Within ``refresh_grace_seconds`` the same token gets the same successor, as long as that was not used. Otherwise a
    second use proves that two parties have the token, and revokes the family. Raises TenantNotFoundError, an
    UnauthenticatedError, RateLimitedError, or what the subscription says.
    """
    runtime = ctx.runtime
    token = read_refresh_token(runtime.keys, refresh_token)
    if token is None:
        # We have not issued it: whoever sends it may learn no more than whether there is such a tenant.
        async with guessing(ctx), ctx.read() as conn:
            await find_tenant(conn, tenant_slug)
        raise RefreshTokenInvalidError
    # Counted by the family, which the token proves: anybody may write the id of another device beside it.
    await runtime.rate_limits.count_device_request(token.family_id)
    request = RefreshRequest(tenant_slug, device_id, token)
    situation, verdict, next_token, needs_seat = await runtime.coalescer(REFRESHES).ask(request)
    if verdict.denial is RefreshTokenSupersededError and situation is not None and situation.came_back_at is None:
        await count_clone(ctx.as_device(situation.tenant_id, device_id), token.family_id)
    verdict.enforce()
    if needs_seat and situation is not None:
        await _take_seat_again(ctx.as_device(situation.tenant_id, device_id), situation)
        situation, verdict, next_token, needs_seat = await runtime.coalescer(REFRESHES).ask(request)
        verdict.enforce()
    if needs_seat:
        raise OverloadedError
    if situation is None:
        async with guessing(ctx):
            raise TenantNotFoundError(slug=tenant_slug)
    if next_token is None:
        await _close_family(ctx.as_device(situation.tenant_id, device_id), token)
        raise RefreshTokenReusedError
    entitlements = Entitlements(situation.plan_name, situation.monthly_run_quota or 0, situation.subscription_state)
    return token_pair(ctx, situation.tenant_id, device_id, next_token, entitlements)


def judge(  # noqa: PLR0911 - one a rule
    situation: Situation, now: datetime, at_billing: datetime, overlaps_since: datetime
) -> Verdict:
    """Whether the family, its device and the subscription allow a new pair; ``at_billing`` by the clock of billing.

    A family overlaps with its successor where the device was activated again after ``overlaps_since``.
    """
    if situation.device_id is None or situation.expires_at is None:
        # The token is not this device's: whoever sends it learns nothing about the device.
        return Verdict(RefreshTokenInvalidError)
    if situation.device_is_revoked:
        return Verdict(DeviceAccessRevokedError)
    if situation.released_at is not None:
        return Verdict(DeviceReleasedError)
    if situation.was_superseded(overlaps_since):
        return Verdict(RefreshTokenSupersededError)
    if situation.revoked_at is not None:
        return Verdict(RefreshTokenInvalidError)
    if situation.expires_at <= now:
        return Verdict(RefreshTokenExpiredError)
    standing = Standing(situation.subscription_state, situation.grace_until, situation.trial_ends_at)
    return may("refresh_token", standing, at_billing)


async def _refresh_batch(runtime: Runtime, requests: Sequence[RefreshRequest]) -> list[RefreshOutcome]:
    """Read the situations with one statement, judge them, and replace the tokens with another, which is the guard."""
    now, at_billing = runtime.clock.now(), await billing_now(Context(runtime, VISITOR))
    overlaps_since = now - timedelta(seconds=runtime.settings.refresh_grace_seconds)
    situations = await _look(runtime, requests)
    verdicts = [
        ALLOWED
        if (situation := situations.get(request.key)) is None
        else judge(situation, now, at_billing, overlaps_since)
        for request in requests
    ]
    # The first request with a family's current token replaces it; others with the same token get the same successor.
    winners: dict[str, tuple[RefreshRequest, RefreshToken]] = {}
    for request, verdict in zip(requests, verdicts, strict=True):
        situation = situations.get(request.key)
        if not verdict.allowed or situation is None or situation.needs_seat:
            continue
        if _is_current(runtime.keys, situation, request.token):
            winners.setdefault(request.token.family_id, (request, next_refresh_token(runtime.keys, request.token)))
    rotated = await _rotate(runtime, situations, winners, now)
    # Another worker was quicker with the same token, or has closed the family.
    if late := [request for family_id, (request, _) in winners.items() if family_id not in rotated]:
        situations |= await _look(runtime, late)
    outcomes: list[RefreshOutcome] = []
    for request, verdict in zip(requests, verdicts, strict=True):
        situation = situations.get(request.key)
        winner, token = winners.get(request.token.family_id, (None, None))
        if winner is not None and winner.token == request.token and request.token.family_id in rotated:
            outcomes.append(RefreshOutcome(situation, verdict, token if verdict.allowed else None))
            continue
        if situation is not None and request in late:
            verdict = judge(situation, now, at_billing, overlaps_since)  # noqa: PLW2901 - the situation is another one now
        repeated = _repeated(runtime, situation, request.token, now)
        if situation is not None and situation.needs_seat:
            is_good = repeated is not None or _is_current(runtime.keys, situation, request.token)
            outcomes.append(RefreshOutcome(situation, verdict, None, needs_seat=is_good))
            continue
        outcomes.append(RefreshOutcome(situation, verdict, repeated))
    return outcomes


def _repeated(runtime: Runtime, situation: Situation | None, token: RefreshToken, now: datetime) -> RefreshToken | None:
    """The successor of a token that was used a moment ago, if it is the family's current token still; else None."""
    if situation is None or situation.rotated_at is None:
        return None
    if now >= situation.rotated_at + timedelta(seconds=runtime.settings.refresh_grace_seconds):
        return None
    successor = next_refresh_token(runtime.keys, token)
    return successor if _is_current(runtime.keys, situation, successor) else None


async def _look(runtime: Runtime, requests: Sequence[RefreshRequest]) -> dict[tuple[str, int, str], Situation]:
    keys = dict.fromkeys(request.key for request in requests)
    batch = as_batch([{"tenant_slug": slug, "device_id": device, "family_id": family} for slug, device, family in keys])
    async with runtime.db.read() as conn:
        rows = await conn.rows(licensing.refresh_situations, batch=batch)
    situations: dict[tuple[str, int, str], Situation] = {}
    for row in rows:
        slug, device_id, family_id, *rest = tuple[Any, ...](row)
        situations[slug, device_id, family_id] = Situation(*rest)
    return situations


async def _rotate(
    runtime: Runtime,
    situations: Mapping[tuple[str, int, str], Situation],
    winners: Mapping[str, tuple[RefreshRequest, RefreshToken]],
    now: datetime,
) -> set[str]:
    """Replace the tokens; answers the families where that was done, and not those where another worker was quicker."""
    if not winners:
        return set()
    hashed = runtime.keys.refresh_token_hash
    batch = [
        {
            "tenant_id": situations[request.key].tenant_id,
            "family_id": family_id,
            "shown_hash": hashed(request.token.text).hex(),
            "next_hash": hashed(next_token.text).hex(),
        }
        for family_id, (request, next_token) in sorted(winners.items())
    ]
    next_expires_at = now + timedelta(seconds=runtime.settings.refresh_token_seconds)
    async with runtime.db.write_autocommit() as conn:
        rows = await conn.rows(
            licensing.rotate_refresh_tokens,
            batch=as_batch(batch),
            next_expires_at=next_expires_at,
            now=now,
            overlaps_since=now - timedelta(seconds=runtime.settings.refresh_grace_seconds),
        )
    return {row.id for row in rows}


def _is_current(keys: Keys, situation: Situation, token: RefreshToken) -> bool:
    return situation.token_hash is not None and compare_digest(
        situation.token_hash, keys.refresh_token_hash(token.text)
    )


async def _take_seat_again(ctx: Context, situation: Situation) -> None:
    """Take a seat for a device that has lost its own by silence; raises DeviceLimitReachedError where none is free."""
    tenant_id, device_id = ctx.device
    at_billing = await billing_now(ctx)
    try:
        async with ctx.write(is_final=False) as conn:
            own = {"of_tenant_id": tenant_id, "device_id": device_id}
            if not await conn.affected(licensing.hold_seat_again, **own, now=ctx.now()):
                return
            title = f"Device {device_id} came back and took a seat"
            await record(conn, ctx, Event(EventType.DEVICE_RETURNED, title, tenant_id=tenant_id, device_id=device_id))
            await take_seats(conn, {tenant_id: 1}, at_billing)
    except GuardRefusedError:
        raise DeviceLimitReachedError(plan=situation.plan_name, max_devices=situation.max_devices) from None


async def _close_family(ctx: Context, token: RefreshToken) -> None:
    """Revoke the family of a token that was used a second time, by its device or by whoever else has it."""
    tenant_id, device_id = ctx.device
    async with ctx.write() as conn:
        closed = await conn.affected(
            licensing.revoke_refresh_family, of_tenant_id=tenant_id, family_id=token.family_id, now=ctx.now()
        )
        if closed:
            title = f"Refresh token of device {device_id} used twice; its tokens are revoked"
            event = Event(EventType.REFRESH_TOKEN_REUSED, title, tenant_id=tenant_id, device_id=device_id)
            await record(conn, ctx, event)


REFRESHES = Coalesced("refresh", _refresh_batch, lanes=1, owner=lambda request: request.tenant_slug)
