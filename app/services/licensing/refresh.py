"""Refresh: a one-time token buys the next pair; one that is shown twice closes its whole family."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest

from app.context import Context
from app.db import WriteConnection
from app.errors import (
    DeviceAccessRevokedError,
    RefreshTokenExpiredError,
    RefreshTokenInvalidError,
    RefreshTokenReusedError,
    TenantNotFoundError,
)
from app.events import Event, EventType, record
from app.services.billing.allowance import may
from app.services.licensing.token_pairs import (
    Entitlements,
    RefreshToken,
    TokenPair,
    new_refresh_token,
    read_refresh_token,
    token_pair,
)
from app.verdict import Verdict
from sql.statements import licensing

NO_FAMILY = ""


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


async def refresh(ctx: Context, tenant_slug: str, device_id: int, refresh_token: str) -> TokenPair:
    """Replace a refresh token by a new pair of tokens.

    Of several requests with the same token one succeeds; each other one proves that the token is in two hands, and
    revokes the family. Raises TenantNotFoundError, an UnauthenticatedError, or what the subscription says.
    """
    runtime = ctx.runtime
    shown = read_refresh_token(runtime.keys, refresh_token)
    if shown is not None:
        # By the family, which the token proves; anybody may write any device's id beside it.
        await runtime.rate_limits.count_device_request(shown.family_id)
    now = runtime.clock.now()
    async with runtime.db.write() as conn:
        situation = await conn.maybe(
            licensing.refresh_situation,
            Situation,
            tenant_slug=tenant_slug,
            device_id=device_id,
            family_id=NO_FAMILY if shown is None else shown.family_id,
        )
        if situation is None:
            raise TenantNotFoundError(slug=tenant_slug)
        if shown is None:
            raise RefreshTokenInvalidError
        judge(situation, now).enforce()
        renewed = await _rotate(conn, ctx, situation, shown, now)
        if renewed is None:
            await _close_family(conn, ctx, situation, shown, now)
    # Raised after the transaction: the revocation must be kept.
    if renewed is None:
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


async def _rotate(
    conn: WriteConnection, ctx: Context, situation: Situation, shown: RefreshToken, now: datetime
) -> RefreshToken | None:
    """The next token, or None when the shown one is not the family's current one any more."""
    keys = ctx.runtime.keys
    shown_hash = keys.refresh_token_hash(shown.text)
    if situation.token_hash is None or not compare_digest(situation.token_hash, shown_hash):
        return None
    renewed = new_refresh_token(keys, shown.family_id)
    rotated = await conn.affected(
        licensing.rotate_refresh_token,
        of_tenant_id=situation.tenant_id,
        family_id=shown.family_id,
        shown_hash=shown_hash,
        next_hash=keys.refresh_token_hash(renewed.text),
        next_expires_at=now + timedelta(seconds=ctx.runtime.settings.refresh_token_seconds),
        now=now,
    )
    return renewed if rotated else None


async def _close_family(
    conn: WriteConnection, ctx: Context, situation: Situation, shown: RefreshToken, now: datetime
) -> None:
    closed = await conn.affected(
        licensing.revoke_refresh_family, of_tenant_id=situation.tenant_id, family_id=shown.family_id, now=now
    )
    if closed:
        title = f"Refresh token of device {situation.device_id} used twice; its tokens are revoked"
        event = Event(
            EventType.REFRESH_TOKEN_REUSED, title, tenant_id=situation.tenant_id, device_id=situation.device_id
        )
        await record(conn, ctx, event)
