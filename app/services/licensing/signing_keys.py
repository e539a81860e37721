"""Rotating the keys that sign access tokens, without ending tokens that are still good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.access.access_tokens import CLOCK_SKEW, new_signing_key
from app.context import Context
from app.events import Event, EventType, record
from sql.statements import licensing


@dataclass(frozen=True, slots=True)
class Rotation:
    """The new key, when it begins to sign, and until when the ones before it verify."""

    kid: str
    signs_from: datetime
    old_keys_verify_until: datetime


async def rotate_keys(ctx: Context, *, compromised: bool = False) -> Rotation:
    """Add a signing key and schedule the end of the ones before it.

    The new key is published at once and signs after ``signing_key_lead_seconds``; the old ones verify until the last
    token they can have signed has expired. ``compromised`` ends the old ones now: every device refreshes its token.
    """
    settings = ctx.runtime.settings
    now = ctx.now()
    lead = timedelta(seconds=0 if compromised else settings.signing_key_lead_seconds)
    life = timedelta(seconds=settings.access_token_seconds) + CLOCK_SKEW
    verifies_until = now if compromised else now + lead + life
    key = new_signing_key(ctx.runtime.keys, now, signs_from=now + lead)
    async with ctx.write() as conn:
        await conn.rows(licensing.signing_keys_locked)
        await conn.affected(licensing.retire_signing_keys, latest=verifies_until, verifies_until=verifies_until)
        await conn.affected(licensing.insert_signing_key, **key)
        reason = "compromised" if compromised else "rotation"
        event = Event(
            EventType.SIGNING_KEY_ROTATED, "Signing key rotated", metadata={"kid": key["kid"], "reason": reason}
        )
        await record(conn, ctx, event)
    return Rotation(key["kid"], now + lead, verifies_until)
