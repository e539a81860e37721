"""Sign-in links: they work once, until their time is over or there is a newer one."""

from __future__ import annotations

import asyncio
from collections import Counter

from sqlalchemy import func, select
from support.clocks import MovableClock
from support.live import LiveServer
from support.operators import PASSWORD, browser, form_token, signed_in
from support.rows import rows

from app.access.permissions import Role
from app.services.operators import accounts
from app.services.operators.sessions import purge_operator_sessions
from sql.tables import operator_sessions


async def session_count(live: LiveServer) -> int:
    ((count,),) = await rows(live, select(func.count()).select_from(operator_sessions))
    return count


async def new_link(live: LiveServer, email: str = "ann@example.com") -> str:
    """The token of a new sign-in link."""
    made = await accounts.ensure_operator(live.ctx, email=email, role=Role.OWNER)
    assert made.link_token is not None
    return made.link_token


async def test_a_link_lets_its_bearer_choose_a_password_once(sanic_client: LiveServer) -> None:
    link = await new_link(sanic_client)
    async with browser(sanic_client) as person:
        page = f"/auth/link/{link}"
        for _ in range(3):
            assert "ann@example.com" in (await person.get(page)).text
        short = await person.send(page, "/auth/link", token=link, password="short")
        assert (short.status_code, "12 to 256 characters" in short.text) == (422, True)
        used = await person.send(page, "/auth/link", token=link, password=PASSWORD)
        assert (used.status_code, used.headers["location"]) == (303, "/admin")
        assert "ann@example.com" in (await person.get("/admin")).text
        again = await person.get(page)
        assert (again.status_code, "Ask for a new one" in again.text) == (401, True)
        form = {"form_token": form_token(await person.get("/admin/login")), "token": link, "password": PASSWORD}
        assert (await person.http.post("/auth/link", data=form)).status_code == 401
        assert (await person.sign_in("ann@example.com")).status_code == 303


async def test_a_program_is_told_what_is_wrong_before_its_link_is_looked_at(sanic_client: LiveServer) -> None:
    sanic_client.runtime.settings = sanic_client.runtime.settings.model_copy(update={"sign_ins_per_address": 2})
    async with browser(sanic_client) as person:
        token = form_token(await person.get("/admin/login"))
        asked = {"accept": "application/json"}
        form = {"form_token": token, "token": "nobody's"}
        short = await person.http.post("/auth/link", headers=asked, data={**form, "password": "short"})
        unknown = await person.http.post("/auth/link", headers=asked, data={**form, "password": PASSWORD})
        limited = await person.http.post("/auth/link", headers=asked, data={**form, "password": PASSWORD})

    assert (short.status_code, short.json()["errorCode"]) == (422, "validation_error")
    assert (unknown.status_code, unknown.json()["errorCode"]) == (401, "sign_in_link_invalid")
    assert (limited.status_code, limited.json()["errorCode"]) == (429, "rate_limited")
    assert int(limited.headers["retry-after"]) > 0


async def test_a_link_that_is_used_by_many_at_once_signs_one_in(sanic_client: LiveServer) -> None:
    link = await new_link(sanic_client)
    async with browser(sanic_client) as person:
        form = {"form_token": form_token(await person.get(f"/auth/link/{link}")), "token": link}
        answers = await asyncio.gather(
            *(person.http.post("/auth/link", data={**form, "password": f"{PASSWORD} {number}"}) for number in range(10))
        )

    assert Counter(answer.status_code for answer in answers) == {303: 1, 401: 9}
    assert await session_count(sanic_client) == 1


async def test_a_link_ends_by_time_and_by_a_newer_one(sanic_client: LiveServer, clock: MovableClock) -> None:
    old, new = [await new_link(sanic_client) for _ in range(2)]
    async with browser(sanic_client) as person:
        assert (await person.get(f"/auth/link/{old}")).status_code == 401
        assert (await person.get(f"/auth/link/{new}")).status_code == 200
        clock.move(days=1, seconds=1)
        assert (await person.get(f"/auth/link/{new}")).status_code == 401


async def test_a_new_password_ends_what_the_old_one_began(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as person:
        email = (await person.get("/auth/me")).json()["email"]
        await accounts.ensure_operator(sanic_client.ctx, email=email, role=Role.OWNER, password="another long password")

        assert (await person.get("/auth/me", headers={"accept": "application/json"})).status_code == 401
        assert (await person.sign_in(email)).status_code == 401
        assert (await person.sign_in(email, "another long password")).status_code == 303


async def test_what_is_over_is_removed(sanic_client: LiveServer, clock: MovableClock) -> None:
    async with signed_in(sanic_client):
        await new_link(sanic_client)
        assert await purge_operator_sessions(sanic_client.ctx) == {"operator_sessions": 0, "sign_in_links": 0}
        clock.move(days=1, seconds=1)
        assert await purge_operator_sessions(sanic_client.ctx) == {"operator_sessions": 0, "sign_in_links": 1}
        clock.move(hours=1)
        assert await purge_operator_sessions(sanic_client.ctx) == {"operator_sessions": 1, "sign_in_links": 0}
