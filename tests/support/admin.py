"""Who asks, as the headers that each of them sends: operators of each role, and tenants that are signed in."""

from __future__ import annotations

import secrets
import uuid
from datetime import timedelta
from typing import Any

from support.live import LiveServer
from support.rows import change

from app.access.permissions import Role
from app.services.operators.identity import API_TOKEN_PREFIX, signed_cookie
from sql.tables import api_tokens, operator_sessions, operators, tenant_sessions

# The members of a tenant wherever it is shown.
TENANT_KEYS = {
    "id",
    "name",
    "slug",
    "logoUrl",
    "primaryColor",
    "domain",
    "email",
    "phoneNumber",
    "otpDeliveryMethod",
    "usageQuota",
    "usageCurrent",
    "activationCodesTotal",
    "activationCodesUsed",
    "createdAt",
    "updatedAt",
    "subscription",
}


async def as_operator(live: LiveServer, role: Role | str = Role.OWNER) -> dict[str, str]:
    """What a program with a token of this role sends with each request."""
    role = Role(role).value
    token = API_TOKEN_PREFIX + secrets.token_urlsafe(32)
    now = live.ctx.now()
    row: dict[str, Any] = {
        "name": f"tests as {role}",
        "role": role,
        "token_hash": live.runtime.keys.token_hash("API token", token),
        "hint": token[-4:],
        "created_by": "tests",
        # Far ahead, so that it is good and using it writes nothing wherever a test moves the clock.
        "expires_at": now + timedelta(days=3650),
        "last_used_at": now + timedelta(days=3650),
        "created_at": now,
    }
    await change(live, api_tokens.insert().values(**row))
    return {"authorization": f"Bearer {token}"}


async def operator_cookie(
    live: LiveServer, role: Role | str = Role.OWNER, *, origin: str | None = "own"
) -> dict[str, str]:
    """What the browser of a new operator of this role sends; from the portal's own page unless told otherwise."""
    token = secrets.token_urlsafe(32)
    now = live.ctx.now()
    account = {"email": f"{uuid.uuid4().hex[:8]}@example.com", "role": Role(role).value}
    async with live.ctx.write() as conn:
        made = operators.insert().returning(operators.c.id)
        operator_id = await conn.one(made, int, **account, created_at=now, updated_at=now)
        row: dict[str, Any] = {
            "operator_id": operator_id,
            "token_hash": live.runtime.keys.token_hash("operator session", token),
            "last_activity": now,
            "expires_at": now + timedelta(seconds=live.runtime.settings.operator_session_seconds),
            "created_at": now,
        }
        await conn.affected(operator_sessions.insert(), **row)
    sent = {"cookie": f"session={signed_cookie(live.runtime.keys, token)}"}
    if origin is not None:
        sent["origin"] = live.runtime.settings.public_url if origin == "own" else origin
    return sent


async def as_tenant(live: LiveServer, tenant_id: int) -> dict[str, str]:
    """What a browser sends in which this tenant is signed in."""
    token = secrets.token_urlsafe(32)
    now = live.ctx.now()
    row: dict[str, Any] = {
        "tenant_id": tenant_id,
        "token_hash": live.runtime.keys.token_hash("tenant session", token),
        "last_activity": now,
        "expires_at": now + timedelta(seconds=live.runtime.settings.session_seconds),
        "created_at": now,
    }
    await change(live, tenant_sessions.insert().values(**row))
    return {"x-session-token": token}


class Admin:
    """An operator's requests to the admin API."""

    def __init__(self, live: LiveServer, headers: dict[str, str]) -> None:
        self.live, self.headers = live, headers

    async def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """The body of an answer that has this status."""
        answer = await self.live.http.request(method, f"/admin/api{path}", headers=self.headers, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def tenants(self, **query: Any) -> Any:
        """A page of tenants."""
        return await self.ask("GET", "/tenants", params=query)

    async def slugs(self, **query: Any) -> list[str]:
        """Who is on a page of tenants."""
        return [tenant["slug"] for tenant in (await self.tenants(**query))["items"]]

    async def hints(self, **query: Any) -> list[str]:
        """What is on a page of codes."""
        return [code["hint"] for code in (await self.ask("GET", "/codes", params=query))["codes"]]

    async def admit(self, *slugs: str, plan: str = "Pro") -> None:
        """Tenants with these slugs, one after the other."""
        for slug in slugs:
            await self.ask("POST", "/tenants", 201, json=new_tenant(slug, plan))

    async def created(self, **fields: Any) -> Any:
        """A new tenant as it is shown from then on: without its codes."""
        answer = await self.ask("POST", "/tenants", 201, json=new_tenant(**fields))
        del answer["activationCodes"]
        return answer


def new_tenant(slug: str = "acme", plan: str = "Pro", **more: Any) -> dict[str, Any]:
    """What the front end sends for a tenant."""
    return {"name": slug.title(), "slug": slug, "subscriptionPlan": plan, "usageQuota": 10, **more}


async def answer_of(live: LiveServer, path: str, headers: dict[str, str] | None = None) -> Any:
    """What the admin API answers to a GET, of a read-only operator unless other headers are given."""
    answer = await live.http.get(f"/admin/api/{path}", headers=headers or await as_operator(live, "read_only"))
    assert answer.status_code == 200, answer.text
    return answer.json()
