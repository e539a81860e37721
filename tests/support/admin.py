"""Programs with an API token that call as operators do."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import insert
from support.live import LiveServer
from support.rows import change

from app.services.operators.identity import API_TOKEN_PREFIX
from sql.tables import api_tokens


async def api_token(live: LiveServer, role: str = "read_only") -> dict[str, str]:
    """The headers of a program with a new token of this role."""
    token = API_TOKEN_PREFIX + secrets.token_urlsafe(16)
    now = live.runtime.clock.now()
    row = {
        "name": f"{role} of the tests",
        "role": role,
        "token_hash": live.runtime.keys.token_hash("API token", token),
        "hint": token[-4:],
        "created_by": "tests",
        "expires_at": now + timedelta(days=3650),
        "last_used_at": now + timedelta(days=3650),
        "created_at": now,
    }
    await change(live, insert(api_tokens), **row)
    return {"authorization": f"Bearer {token}"}
