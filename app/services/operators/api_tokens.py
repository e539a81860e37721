"""API tokens: the access of a program, with a role and an end; each is shown once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from app import typed_text
from app.access.permissions import Role
from app.context import Context
from app.errors import ApiTokenNotFoundError, PermissionDeniedError, ValidationError
from app.events import Event, EventType, record
from app.services.operators.accounts import TokenHolder
from app.services.operators.identity import API_TOKEN_PREFIX
from sql.bounds import MAX_ID
from sql.statements import api_tokens as statements

MAX_NAME = 100
MAX_DAYS = 3650
HINT_CHARACTERS = 4
# The first page of a list that goes down from an id.
NEWEST_FIRST = MAX_ID
MAX_CREATOR = 255


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as it is shown, for the only time."""

    id: int
    name: str
    role: Role
    token: str
    hint: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ListedToken:
    """A token as it is listed; one that is revoked or has expired is refused."""

    id: int
    name: str
    role: str
    hint: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class RevokedToken(NamedTuple):
    """The name and the last characters of a token."""

    name: str
    hint: str


async def create_token(ctx: Context, *, name: str, role: Role, days: int | None = None) -> NewToken:
    """Make a token that is good for so many days, or as many as the settings say.

    Raises PermissionDeniedError for a role that may do more than the caller, ValidationError.
    """
    name = _checked(name, days)
    if beyond := role.permissions - ctx.actor.permissions:
        raise PermissionDeniedError(permission=min(beyond).value)
    now = ctx.now()
    expires_at = now + timedelta(days=ctx.runtime.settings.api_token_days if days is None else days)
    token = API_TOKEN_PREFIX + secrets.token_urlsafe(32)
    hint = token[-HINT_CHARACTERS:]
    row = {
        "name": name,
        "role": role.value,
        "token_hash": ctx.runtime.keys.token_hash("API token", token),
        "hint": hint,
        "created_by": ctx.actor.name[:MAX_CREATOR],
        "expires_at": expires_at,
        "created_at": now,
    }
    async with ctx.write() as conn:
        token_id = await conn.one(statements.insert_api_token, int, **row)
        metadata = {"token_id": token_id, "name": name, "role": role.value, "expires_at": expires_at}
        await record(conn, ctx, Event(EventType.API_TOKEN_CREATED, f"API token {name} created", metadata=metadata))
    return NewToken(token_id, name, role, token, hint, expires_at)


async def list_tokens(ctx: Context, *, before_id: int = NEWEST_FIRST, page_size: int = 100) -> list[ListedToken]:
    """The tokens, also those that have ended, newest first, from below ``before_id``."""
    async with ctx.read() as conn:
        return await conn.many(statements.list_api_tokens, ListedToken, before_id=before_id, page_size=page_size)


async def revoke_token(ctx: Context, token_id: int) -> None:
    """Refuse a token from its next request on; raises ApiTokenNotFoundError."""
    now = ctx.now()
    async with ctx.write() as conn:
        revoked = await conn.maybe(statements.revoke_api_token, RevokedToken, of_token_id=token_id, now=now)
        if revoked is not None:
            metadata = {"token_id": token_id, "name": revoked.name, "hint": revoked.hint}
            title = f"API token {revoked.name} revoked"
            await record(conn, ctx, Event(EventType.API_TOKEN_REVOKED, title, metadata=metadata))
        elif await conn.maybe(statements.api_token_by_id, TokenHolder, token_id=token_id) is None:
            raise ApiTokenNotFoundError(token_id=token_id)


def _checked(name: str, days: int | None) -> str:
    """The name as it is stored; raises ValidationError."""
    text = typed_text.stripped(name)
    if not text or len(text) > MAX_NAME or "\x00" in text:
        raise ValidationError.of("name", f"A name has 1 to {MAX_NAME} characters.", kind="name_length")
    if (fault := typed_text.fault_of_name(text)) is not None:
        raise ValidationError.of("name", f"A name {fault}.", kind="name")
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise ValidationError.of("days", f"A token is good for 1 to {MAX_DAYS} days.", kind="days_range")
    return text
