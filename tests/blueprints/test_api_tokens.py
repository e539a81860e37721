"""API tokens: who may make them, what they open, and until when."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import select
from support.clocks import MovableClock
from support.live import LiveServer
from support.operators import Browser, browser, own_origin, signed_in
from support.refusals import Findings, invalid, refusal
from support.rows import row_counts, rows, told
from support.statements import counted_statements

from app.access.permissions import Permission, Role
from app.context import Actor
from app.errors import ApiTokenInvalidError, PermissionDeniedError
from app.services.operators import api_tokens
from app.services.operators.identity import token_actor
from sql.tables import api_tokens as table


async def make(person: Browser, name: str = "ci", role: str = "read_only", **more: Any) -> Response:
    """The answer to a new token that the person asks for on the portal's own page."""
    body = {"name": name, "role": role, **more}
    return await person.http.post("/admin/api/tokens", json=body, headers=own_origin(person.live))


def shown(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_token_is_shown_once_and_opens_what_its_role_may(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as person:
        answer = await make(person, role="operator", days=7)

        made = answer.json()
        assert answer.status_code == 201
        assert list(made) == ["id", "name", "role", "token", "hint", "expires_at"]
        assert (made["name"], made["role"], made["hint"]) == ("ci", "operator", made["token"][-4:])
        assert made["token"].startswith("pat_")
        expires = datetime.fromisoformat(made["expires_at"])
        assert abs(expires - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=1)
        assert made["expires_at"].endswith("Z")
        listing = await person.get("/admin/api/tokens")
        email = (await person.get("/auth/me")).json()["email"]
    assert made["token"] not in listing.text
    (listed,) = listing.json()["tokens"]
    assert list(listed) == [
        "id",
        "name",
        "role",
        "hint",
        "created_by",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    ]
    assert (listed["id"], listed["created_by"], listed["revoked_at"]) == (made["id"], email, None)
    me = (await sanic_client.http.get("/auth/me", headers=shown(made["token"]))).json()
    assert me == {
        "email": None,
        "name": "ci",
        "role": "operator",
        "permissions": sorted(Role.OPERATOR.permissions),
    }
    assert (await sanic_client.http.get("/admin/api/tokens", headers=shown(made["token"]))).status_code == 403


async def test_without_days_the_settings_say_how_long(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as person:
        expires = datetime.fromisoformat((await make(person)).json()["expires_at"])

    assert abs(expires - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)


async def test_a_revoked_token_opens_nothing(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as person:
        made = (await make(person)).json()
        assert (await sanic_client.http.get("/auth/me", headers=shown(made["token"]))).status_code == 200
        for _ in range(2):
            path = f"/admin/api/tokens/{made['id']}"
            assert (await person.http.delete(path, headers=own_origin(sanic_client))).status_code == 204

        refused = await sanic_client.http.get("/auth/me", headers=shown(made["token"]))
        assert (refused.status_code, refused.json()["errorCode"]) == (401, "api_token_invalid")
        missing = await person.http.delete("/admin/api/tokens/999", headers=own_origin(sanic_client))
        assert (missing.status_code, missing.json()["errorCode"]) == (404, "api_token_not_found")
        (listed,) = (await person.get("/admin/api/tokens")).json()["tokens"]
        assert listed["revoked_at"] is not None
        email = (await person.get("/auth/me")).json()["email"]
    trail = [event for event in await told(sanic_client) if event.event_type.startswith("api_token")]
    assert [(event.event_type, event.actor_name, event.actor_id) for event in trail] == [
        ("api_token_created", email, 1),
        ("api_token_revoked", email, 1),
    ]


async def test_an_expired_token_opens_nothing(sanic_client: LiveServer, clock: MovableClock) -> None:
    async with signed_in(sanic_client) as person:
        made = (await make(person, days=1)).json()
    clock.move(hours=23)
    assert (await sanic_client.http.get("/auth/me", headers=shown(made["token"]))).status_code == 200
    clock.move(hours=1, seconds=1)
    assert (await sanic_client.http.get("/auth/me", headers=shown(made["token"]))).status_code == 401


@pytest.mark.parametrize("role", Role)
async def test_only_owners_manage_tokens(sanic_client: LiveServer, role: Role) -> None:
    expected = (201, 200, 404) if role is Role.OWNER else (403, 403, 403)
    program = (await api_tokens.create_token(sanic_client.ctx, name="program", role=role)).token
    async with signed_in(sanic_client, role) as person:
        by_cookie = (
            await make(person),
            await person.get("/admin/api/tokens"),
            await person.http.delete("/admin/api/tokens/999", headers=own_origin(sanic_client)),
        )
    http, headers = sanic_client.http, shown(program)
    by_token = (
        await http.post("/admin/api/tokens", json={"name": "more", "role": "read_only"}, headers=headers),
        await http.get("/admin/api/tokens", headers=headers),
        await http.delete("/admin/api/tokens/999", headers=headers),
    )

    for answers in (by_cookie, by_token):
        assert tuple(answer.status_code for answer in answers) == expected


async def test_nobody_makes_a_token_that_may_more_than_they(sanic_client: LiveServer) -> None:
    permissions = Role.OPERATOR.permissions | {Permission.API_TOKENS_MANAGE}
    ctx = sanic_client.ctx._replace(actor=Actor("operator", "ann@example.com", id=1, permissions=permissions))

    await api_tokens.create_token(ctx, name="less", role=Role.READ_ONLY)
    await api_tokens.create_token(ctx, name="as much", role=Role.OPERATOR)
    with pytest.raises(PermissionDeniedError, match="llm_prices:write"):
        await api_tokens.create_token(ctx, name="more", role=Role.OWNER)


async def test_a_change_that_a_cookie_signs_needs_an_origin_that_is_allowed(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as person:
        statuses = {}
        for origin in (None, "null", "https://evil.example", "http://127.0.0.1:8080.evil.example"):
            headers = {"accept": "application/json"} | ({"origin": origin} if origin else {})
            body = {"name": "ci", "role": "owner"}
            refused = await person.http.post("/admin/api/tokens", json=body, headers=headers)
            statuses[origin] = (refused.status_code, refused.json()["errorCode"])
        assert set(statuses.values()) == {(403, "origin_refused")}
        assert await rows(sanic_client, select(table.c.id)) == []
        for origin in ("http://localhost:3002", "HTTP://LOCALHOST:3002", sanic_client.runtime.settings.public_url):
            body = {"name": "ci", "role": "owner"}
            made = await person.http.post("/admin/api/tokens", json=body, headers={"origin": origin})
            assert made.status_code == 201


async def test_nobody_learns_anything_without_signing_in(sanic_client: LiveServer) -> None:
    async with browser(sanic_client) as person:
        answers = [
            await make(person, name="", role="king"),
            await person.get("/admin/api/tokens"),
            await person.http.delete("/admin/api/tokens/1", headers=own_origin(sanic_client)),
            await person.get("/auth/me"),
            await person.get("/auth/me", headers=shown("pat_unknown")),
        ]
    assert [answer.status_code for answer in answers] == [401] * 5
    assert [answer.json()["errorCode"] for answer in answers] == ["operator_missing"] * 4 + ["api_token_invalid"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"role": "owner"}, "name"),
    ({"name": " ", "role": "owner"}, "name"),
    ({"name": "x" * 101, "role": "owner"}, "name"),
    ({"name": "a\x00b", "role": "owner"}, "name"),
    ({"name": "ci", "role": "king"}, "role"),
    ({"name": "ci", "role": "owner", "days": 0}, "days"),
    ({"name": "ci", "role": "owner", "days": 4000}, "days"),
]


async def test_a_wrong_field_is_named(sanic_client: LiveServer) -> None:
    owner = await api_tokens.create_token(sanic_client.ctx, name="owner", role=Role.OWNER)
    before = await row_counts(sanic_client)
    findings = Findings()

    for body, field in WRONG:
        answer = await sanic_client.http.post("/admin/api/tokens", json=body, headers=shown(owner.token))
        findings.add(body, refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_a_long_list_is_read_in_pages_of_one_statement(sanic_client: LiveServer) -> None:
    owner = await api_tokens.create_token(sanic_client.ctx, name="owner", role=Role.OWNER)
    for number in range(5):
        await api_tokens.create_token(sanic_client.ctx, name=f"token {number}", role=Role.READ_ONLY)
    await sanic_client.http.get("/auth/me", headers=shown(owner.token))

    found: list[str] = []
    before: dict[str, int] = {}
    with counted_statements(sanic_client.runtime.db) as statements:
        while True:
            query = {"page_size": 4, **before}
            page = await sanic_client.http.get("/admin/api/tokens", params=query, headers=shown(owner.token))
            tokens = page.json()["tokens"]
            found += [token["name"] for token in tokens]
            if len(tokens) < 4:
                break
            before = {"before_id": tokens[-1]["id"]}
    assert found == ["token 4", "token 3", "token 2", "token 1", "token 0", "owner"]
    # Who asks, and the page.
    assert len(statements) == 4


async def test_requests_that_wait_share_the_look_at_their_tokens(sanic_client: LiveServer) -> None:
    made = [await api_tokens.create_token(sanic_client.ctx, name=name, role=Role.READ_ONLY) for name in ("a", "b", "c")]
    await api_tokens.revoke_token(sanic_client.ctx, made[2].id)
    asking = [made[0].token, made[1].token, made[2].token, "pat_nobodys", made[0].token]
    for token in asking[:2]:
        await token_actor(sanic_client.runtime, token)

    with counted_statements(sanic_client.runtime.db) as statements:
        found = await asyncio.gather(
            *(token_actor(sanic_client.runtime, token) for token in asking), return_exceptions=True
        )

    told = [one.name if isinstance(one, Actor) else type(one) for one in found]
    assert told == ["token a", "token b", ApiTokenInvalidError, ApiTokenInvalidError, "token a"]
    assert len(statements) == 1
