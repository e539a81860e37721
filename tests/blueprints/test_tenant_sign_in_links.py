"""Sign-in links that operators make for tenants: once, soon, audited, and in a browser that is known from then on."""

from __future__ import annotations

import asyncio
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select
from support.admin import as_operator
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.operators import browser
from support.rows import row_counts, rows, told
from support.sign_in import generate, reachable

from app.access.permissions import Role
from app.context import Context
from app.services.directory.lookup import Tenant
from app.services.tenants import deletion, sign_in_links
from app.settings import Settings
from sql.tables import platform_events, tenant_sign_in_links

USE = "/api/tenant/auth/link"


async def new_link(live: LiveServer, slug: str) -> str:
    """The token of a new link, as an operator gets it."""
    answer = await live.http.post(f"/admin/api/tenants/{slug}/sign-in-link", headers=await as_operator(live))
    assert answer.status_code == 201, answer.text
    assert answer.json().keys() == {"tenant_slug", "sign_in_url", "expires_at"}
    url = answer.json()["sign_in_url"]
    assert url.startswith(live.runtime.settings.public_url + "/sign-in/")
    return str(url.rpartition("/")[2])


async def use(live: LiveServer, token: str) -> int:
    return (await live.http.post(USE, json={"token": token})).status_code


async def test_a_link_signs_in_once_and_makes_the_browser_known(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    token = await new_link(sanic_client, tenant.slug)
    for _ in range(4):
        await generate(sanic_client, tenant.slug)

    answer = await sanic_client.http.post(USE, json={"token": token})

    assert answer.status_code == 200, answer.text
    session = answer.json()
    assert (session["tenant_id"], session["tenant_slug"]) == (tenant.id, tenant.slug)
    headers = {"x-session-token": session["session_token"]}
    assert (await sanic_client.http.get("/api/tenant/auth/session", headers=headers)).status_code == 200
    # The client keeps the cookie: strangers have used up the codes of this address, not those of this browser.
    assert (await generate(sanic_client, tenant.slug)).status_code == 200
    again = await sanic_client.http.post(USE, json={"token": token})
    assert (again.status_code, again.json()["errorCode"]) == (401, "sign_in_link_invalid")
    assert "Ask your vendor for a new one" in again.json()["detail"]
    trail = [(event.event_type, event.actor_type) for event in await told(sanic_client, tenant.id)]
    assert trail[1:] == [("sign_in_link_created", "program"), ("session_created", "tenant"), ("user_login", "tenant")]


async def test_a_page_asks_first_and_leads_on_with_the_session_in_the_fragment(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client, name="<b>Acme</b> & Co")
    token = await new_link(sanic_client, tenant.slug)
    async with browser(sanic_client) as person:
        for _ in range(2):
            shown = await person.get(f"/sign-in/{token}")
            assert (shown.status_code, "&lt;b&gt;Acme&lt;/b&gt; &amp; Co" in shown.text) == (200, True)
        assert (await row_counts(sanic_client))["tenant_sessions"] == 0
        used = await person.send(f"/sign-in/{token}", "/sign-in", token=token)
        assert (used.status_code, used.headers["set-cookie"].startswith("known_")) == (200, True)
        (link,) = [part.partition('"')[0] for part in used.text.split('href="')[1:] if "session_token" in part]
        there = urlsplit(link.replace("&amp;", "&"))
        assert (there.netloc, there.path, there.query) == ("localhost:3000", "/login", "")
        given = {name: value for name, (value,) in parse_qs(there.fragment).items()}
        assert given.keys() == {"session_token", "expires_at", "tenant_id", "tenant_slug"}
        headers = {"x-session-token": given["session_token"]}
        assert (await person.http.get("/api/tenant/auth/session", headers=headers)).status_code == 200
        gone = await person.get(f"/sign-in/{token}")
        assert (gone.status_code, "Ask your vendor for a new one" in gone.text) == (401, True)


async def test_of_many_at_once_one_is_signed_in(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    token = await new_link(sanic_client, tenant.slug)

    answers = await asyncio.gather(*(use(sanic_client, token) for _ in range(10)))

    assert Counter(answers) == {200: 1, 401: 9}
    assert (await row_counts(sanic_client))["tenant_sessions"] == 1


async def test_a_link_ends_by_time_by_a_newer_one_and_with_its_tenant(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    tenant, other = await reachable(sanic_client), await reachable(sanic_client)
    old, new, others = [await new_link(sanic_client, slug) for slug in (tenant.slug, tenant.slug, other.slug)]
    assert [await use(sanic_client, token) for token in (old, "nobody's")] == [401, 401]
    clock.move(minutes=59)
    assert await use(sanic_client, new) == 200
    await deletion.delete_tenant(sanic_client.ctx, other.slug)
    assert await use(sanic_client, others) == 401
    late = await new_link(sanic_client, tenant.slug)
    clock.move(minutes=60)
    assert await use(sanic_client, late) == 401
    clock.move(days=365)
    of_next_year = await new_link(sanic_client, tenant.slug)
    clock.move(days=-365)
    assert await use(sanic_client, of_next_year) == 401


async def test_a_link_whose_tenant_is_deleted_while_it_is_used_is_as_any_that_has_ended(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await reachable(sanic_client)
    token = await new_link(sanic_client, tenant.slug)
    find = sign_in_links.link_owner

    async def found_and_deleted(ctx: Context, token: str) -> Tenant:
        owner = await find(ctx, token)
        await deletion.delete_tenant(sanic_client.ctx, owner.slug)
        return owner

    monkeypatch.setattr(sign_in_links, "link_owner", found_and_deleted)

    assert await use(sanic_client, token) == 401


async def test_a_link_is_kept_as_a_hash_and_told_to_no_one(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    token = await new_link(sanic_client, tenant.slug)
    await use(sanic_client, "nobody's")

    for table in (tenant_sign_in_links, platform_events):
        for row in await rows(sanic_client, select(table)):
            assert token not in str(tuple(row))
            assert token.encode() not in [value for value in row if isinstance(value, bytes)]


@pytest.mark.parametrize(("role", "status"), [(Role.OPERATOR, 201), (Role.READ_ONLY, 403)])
async def test_who_may_change_tenants_may_make_one(sanic_client: LiveServer, role: Role, status: int) -> None:
    tenant = await reachable(sanic_client)
    headers = await as_operator(sanic_client, role)

    answer = await sanic_client.http.post(f"/admin/api/tenants/{tenant.slug}/sign-in-link", headers=headers)

    assert answer.status_code == status
    unknown = await sanic_client.http.post("/admin/api/tenants/nobody/sign-in-link", headers=headers)
    assert unknown.status_code == (404 if status == 201 else 403)


async def test_an_address_may_try_so_many_links(settings: Settings) -> None:
    changed = settings.model_copy(update={"one_time_password_guesses_per_address": 2})
    async with live_server(changed) as live:
        assert [await use(live, f"guess-{number}") for number in range(3)] == [401, 401, 429]


def test_where_the_front_end_signs_in(settings: Settings) -> None:
    for changes, expected in (
        ({}, "http://localhost:3000/login"),
        ({"allowed_origins": ()}, "http://127.0.0.1:8080/login"),
        ({"tenant_sign_in_url": "https://my.example.com/enter"}, "https://my.example.com/enter"),
    ):
        assert sign_in_links.front_end_url(settings.model_copy(update=changes)) == expected
