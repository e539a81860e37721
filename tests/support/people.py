"""One-line arrangements: who signs in, as the headers that each of them sends."""

from __future__ import annotations

import secrets
import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import insert
from support.builders import Licensed
from support.live import LiveServer

from app.permissions import Role
from app.services.operators.identity import API_TOKEN_PREFIX, signed_cookie
from sql.tables import api_tokens, operator_sessions, operators, tenant_sessions


async def signed_in_tenant(live: LiveServer, tenant: Licensed) -> dict[str, str]:
    """What the tenant's browser sends with each request, from a session of its own."""
    token = secrets.token_urlsafe(32)
    now = live.runtime.clock.now()
    await _insert(
        live,
        insert(tenant_sessions),
        tenant_id=tenant.tenant_id,
        token_hash=live.runtime.keys.token_hash("tenant session", token),
        last_activity=now,
        expires_at=now + timedelta(seconds=live.runtime.settings.session_seconds),
        created_at=now,
    )
    return {"x-session-token": token}


async def operator_headers(live: LiveServer, role: Role | str = Role.OWNER) -> dict[str, str]:
    """What a program sends with a new API token of this role."""
    token = API_TOKEN_PREFIX + secrets.token_urlsafe(32)
    now = live.runtime.clock.now()
    await _insert(
        live,
        insert(api_tokens),
        name=f"tests {uuid.uuid4().hex[:8]}",
        role=Role(role).value,
        token_hash=live.runtime.keys.token_hash("API token", token),
        hint=token[-4:],
        created_by="tests",
        expires_at=now + timedelta(days=1),
        created_at=now,
    )
    return {"authorization": f"Bearer {token}"}


async def operator_cookie(
    live: LiveServer, role: Role | str = Role.OWNER, *, origin: str | None = "own"
) -> dict[str, str]:
    """What the browser of a new operator of this role sends; from the portal's own page unless told otherwise."""
    token = secrets.token_urlsafe(32)
    now = live.runtime.clock.now()
    email = f"{uuid.uuid4().hex[:8]}@example.com"
    operator_id = await _insert(
        live, insert(operators), email=email, role=Role(role).value, created_at=now, updated_at=now
    )
    await _insert(
        live,
        insert(operator_sessions),
        operator_id=operator_id,
        token_hash=live.runtime.keys.token_hash("operator session", token),
        last_activity=now,
        expires_at=now + timedelta(seconds=live.runtime.settings.operator_session_seconds),
        created_at=now,
    )
    sent = {"cookie": f"session={signed_cookie(live.runtime.keys, token)}"}
    if origin is not None:
        sent["origin"] = live.runtime.settings.public_url if origin == "own" else origin
    return sent


async def _insert(live: LiveServer, statement: Any, **values: Any) -> int:
    async with live.runtime.db.write() as conn:
        ((row_id,),) = await conn.rows(statement.returning(statement.table.c.id), **values)
    return int(row_id)
