"""Other programs on the same host may set cookies of the same names: ours are found among them."""

from __future__ import annotations

import pytest
from httpx2 import Response
from support.live import LiveServer
from support.operators import HTML, Browser, browser, form_token, new_operator, own_origin, signed_in

# What a browser sends: the cookies of longer paths first, and another program's beside ours.
BESIDE = ["session=of-another; {ours}", "{ours}; session=of-another", "session=; session=x.y; {ours}"]
BESIDE += ["__Host-session=of-another; {ours}", "__Secure-session=of-another; session=a.b; {ours}"]


def ours(person: Browser, name: str = "session") -> str:
    """The cookie that the portal gave to this browser."""
    return f"{name}={person.http.cookies[name]}"


@pytest.mark.parametrize("beside", BESIDE)
async def test_a_session_is_found_among_cookies_of_its_name(sanic_client: LiveServer, beside: str) -> None:
    async with signed_in(sanic_client) as person:
        sent = {"cookie": beside.format(ours=ours(person))}
    http, own = sanic_client.http, own_origin(sanic_client)
    document = {"query": "{ plans(first: 1) { nodes { name } } }"}

    page = await http.get("/admin/codes", headers={**HTML, **sent})
    me = await http.get("/auth/me", headers=sent)
    asked = await http.post("/graphql", json=document, headers={**sent, **own})
    form = {"form_token": form_token(await http.get("/auth/logout", headers={**HTML, **sent}))}
    ended = await http.post("/auth/logout", data=form, headers={**HTML, **sent})

    assert (page.status_code, me.status_code, asked.status_code) == (200, 200, 200)
    assert "errors" not in asked.json()
    assert (ended.status_code, ended.headers["location"]) == (303, "/admin/login")
    assert (await http.get("/auth/me", headers=sent)).status_code == 401


async def test_a_good_session_is_found_behind_one_that_has_ended(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as before:
        old = ours(before)
        form = {"form_token": form_token(await before.get("/auth/logout"))}
        await before.http.post("/auth/logout", data=form)
    async with signed_in(sanic_client) as person:
        sent = {"cookie": f"{old}; {ours(person)}"}

    assert (await sanic_client.http.get("/auth/me", headers=sent)).status_code == 200
    assert (await sanic_client.http.get("/auth/me", headers={"cookie": old})).status_code == 401


async def test_a_form_is_taken_with_the_cookie_it_was_served_with(sanic_client: LiveServer) -> None:
    """Below another path another program's cookie may come first."""
    email = await new_operator(sanic_client)
    async with browser(sanic_client) as person:
        form = {"email": email, "password": "wrong", "form_token": form_token(await person.get("/admin/login"))}
        cookie = ours(person, "form")

    async def sent(cookie: str) -> Response:
        return await sanic_client.http.post("/auth/local", data=form, headers={**HTML, "cookie": cookie})

    assert (await sent(f"form=of-another; {cookie}")).status_code == 401
    assert (await sent("form=of-another")).status_code == 403


async def test_only_a_few_of_a_name_are_looked_at(sanic_client: LiveServer) -> None:
    """So that one request does not make the portal check hundreds of signatures."""
    async with signed_in(sanic_client) as person:
        cookie = ours(person)

    async def status_behind(others: int) -> int:
        sent = {"cookie": "; ".join(["session=of-another"] * others + [cookie])}
        return (await sanic_client.http.get("/auth/me", headers=sent)).status_code

    assert [await status_behind(7), await status_behind(8)] == [200, 401]
