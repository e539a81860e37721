"""Operators sign in by password and by link: the right ones, once, and with a cookie that is good for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select
from support.clocks import MovableClock
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.operators import PASSWORD, browser, form_token, new_operator, own_origin, signed_in
from support.rows import rows, told
from support.statements import counted_statements

from app.access.permissions import Role
from app.services.operators import accounts
from app.settings import Settings
from sql.tables import metadata, operator_sessions


async def session_count(live: LiveServer) -> int:
    ((count,),) = await rows(live, select(func.count()).select_from(operator_sessions))
    return count


async def new_link(live: LiveServer, email: str = "ann@example.com") -> str:
    """The token of a new sign-in link."""
    made = await accounts.ensure_operator(live.ctx, email=email, role=Role.OWNER)
    assert made.link_token is not None
    return made.link_token


async def test_the_right_password_signs_in(sanic_client: LiveServer) -> None:
    email = await new_operator(sanic_client, Role.OPERATOR)
    async with browser(sanic_client) as person:
        answer = await person.sign_in(f" {email.upper()} ")

        assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
        me = (await person.get("/auth/me")).json()
    assert (me["email"], me["name"], me["role"]) == (email, None, "operator")
    assert me["permissions"] == sorted(Role.OPERATOR.permissions)


async def test_who_cannot_sign_in_is_told_the_same(sanic_client: LiveServer) -> None:
    right, disabled = [await new_operator(sanic_client) for _ in range(2)]
    await accounts.disable(sanic_client.ctx, disabled)
    await accounts.ensure_operator(sanic_client.ctx, email="new@example.com", role=Role.OWNER)
    attempts = [
        (right, "not the password"),
        (right, ""),
        (right, PASSWORD + "x" * 2000),
        ("nobody@example.com", PASSWORD),
        (disabled, PASSWORD),
        ("new@example.com", PASSWORD),
        ("", ""),
        ("a\x00b@example.com", PASSWORD),
    ]
    async with browser(sanic_client) as person:
        answers = [await person.sign_in(*attempt) for attempt in attempts]

    assert [answer.status_code for answer in answers] == [401] * len(attempts)
    assert {"The e-mail address or the password is wrong." in answer.text for answer in answers} == {True}
    assert not any(PASSWORD in answer.text for answer in answers)
    assert await session_count(sanic_client) == 0


async def test_a_program_is_refused_with_a_problem(sanic_client: LiveServer) -> None:
    async with browser(sanic_client) as person:
        token = form_token(await person.get("/admin/login"))
        form = {"form_token": token, "email": "nobody@example.com", "password": PASSWORD}
        answer = await person.http.post("/auth/local", data=form, headers={"accept": "application/json"})

    assert (answer.status_code, answer.json()["errorCode"]) == (401, "credentials_invalid")


async def test_each_sign_in_begins_a_session_of_its_own(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as person:
        first = person.session
        email = (await person.get("/auth/me")).json()["email"]
        await person.sign_in(email)

        assert person.session != first
        assert await session_count(sanic_client) == 2


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_the_cookie_is_closed_to_scripts_and_other_sites(database: str, tmp_path: Path, environment: str) -> None:
    settings = settings_for(database, tmp_path, environment=environment, secret_key="0123456789" * 4)
    async with live_server(settings) as live:
        link = await new_link(live)
        async with browser(live) as person:
            page = await person.get(f"/auth/link/{link}")
            shown = [page.headers["set-cookie"]]
            cookie = shown[0].partition(";")[0]
            form = {"form_token": form_token(page), "token": link, "password": PASSWORD}
            answer = await person.http.post("/auth/link", data=form, headers={"cookie": cookie})
            shown.append(answer.headers["set-cookie"])

    for sent in shown:
        flags = {part.strip().lower() for part in sent.split(";")[1:]}
        assert {"httponly", "samesite=lax", "path=/"} <= flags
        assert ("secure" in flags) == (environment == "production")
    assert shown[1].startswith("session=")
    assert "max-age=43200" in shown[1].lower()


async def test_pages_allow_nothing_from_elsewhere_and_are_not_kept(sanic_client: LiveServer) -> None:
    async with browser(sanic_client) as person:
        for page in (await person.get("/admin/login"), await person.get("/auth/link/unknown")):
            assert page.headers["content-security-policy"].startswith("default-src 'self'")
            assert page.headers["cache-control"] == "no-store"
            assert page.headers["referrer-policy"] == "same-origin"
            assert page.headers["x-request-id"]
            assert "<script" not in page.text
            assert " style=" not in page.text
        assert (await person.get("/static/admin.css")).headers["content-type"].startswith("text/css")


async def test_a_form_of_another_browser_or_site_is_refused(sanic_client: LiveServer) -> None:
    email = await new_operator(sanic_client)
    async with browser(sanic_client) as person, browser(sanic_client) as other:
        form = {"email": email, "password": PASSWORD, "form_token": form_token(await other.get("/admin/login"))}
        forged = await person.http.post("/auth/local", data=form)
        assert (forged.status_code, "This form is too old" in forged.text) == (403, True)
        without = await person.http.post("/auth/local", data={"email": email, "password": PASSWORD})
        assert without.status_code == 403

        for origin in ("https://evil.example", "null", "http://[evil", "evil.example"):
            page = await person.send("/admin/login", "/auth/local", origin=origin, email=email, password=PASSWORD)
            assert (page.status_code, "may only come from" in page.text) == (403, True)
        allowed = [None, "http://localhost:3002", sanic_client.runtime.settings.public_url, "own"]
        for origin in allowed:
            page = await person.send("/admin/login", "/auth/local", origin=origin, email=email, password=PASSWORD)
            assert page.status_code == 303
    assert await session_count(sanic_client) == len(allowed)


async def test_only_forms_are_read(sanic_client: LiveServer) -> None:
    async with browser(sanic_client) as person:
        token = form_token(await person.get("/admin/login"))
        as_json = {"accept": "application/json"}
        answers = [
            await person.http.post("/auth/local", json={"form_token": token}, headers=as_json),
            await person.http.post("/auth/local", data={"form_token": token, "x": "y" * 70_000}, headers=as_json),
            await person.http.post(
                "/auth/local",
                content=b"form_token=%ff%fe\xff",
                headers={**as_json, "content-type": "application/x-www-form-urlencoded"},
            ),
        ]
    assert [answer.status_code for answer in answers] == [400, 413, 400]


async def test_a_disabled_operator_is_out_at_once_and_can_be_let_in_again(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as person:
        email = (await person.get("/auth/me")).json()["email"]

        assert await accounts.disable(sanic_client.ctx, email)
        assert not await accounts.disable(sanic_client.ctx, email)
        assert (await person.get("/auth/me")).status_code == 401
        await accounts.ensure_operator(sanic_client.ctx, email=email, role=Role.READ_ONLY, password=PASSWORD)
        assert (await person.get("/auth/me")).status_code == 401
        await person.sign_in(email)
        assert (await person.get("/auth/me")).json()["role"] == "read_only"


async def test_a_new_role_holds_from_the_next_request_on(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client, Role.OWNER) as person:
        email = (await person.get("/auth/me")).json()["email"]
        assert (await person.get("/admin/api/tokens")).status_code == 200
        await accounts.ensure_operator(sanic_client.ctx, email=email, role=Role.READ_ONLY)

        assert (await person.get("/admin/api/tokens")).status_code == 403


async def test_an_idle_session_ends_and_a_used_one_ends_in_half_a_day(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    async with signed_in(sanic_client) as idle, signed_in(sanic_client) as busy:
        for _ in range(13):
            clock.move(minutes=50)
            assert (await busy.get("/auth/me")).status_code == 200
        answer = await idle.get("/auth/me")
        assert (answer.status_code, answer.json()["errorCode"]) == (401, "session_expired")
        clock.move(minutes=55)
        for _ in range(2):
            clock.move(minutes=1)
            await busy.get("/auth/me")
        clock.move(minutes=20)
        assert (await busy.get("/auth/me")).status_code == 401


async def test_a_cookie_that_is_not_ours_asks_the_database_nothing(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as person:
        cookie = person.session
        assert cookie is not None
        forged = [cookie[:-1], cookie[1:], f"{cookie}x", "x", ".", "", f"{'a' * 43}.{'b' * 22}", "ä.ö", "a" * 4000]
        with counted_statements(sanic_client.runtime.db) as statements:
            answers = [
                await sanic_client.http.get("/auth/me", headers={"cookie": f"session={value}".encode()})
                for value in forged
            ]
        assert [answer.status_code for answer in answers] == [401] * len(forged)
        assert statements == []
        with counted_statements(sanic_client.runtime.db) as statements:
            assert (await person.get("/auth/me")).status_code == 200
        assert len(statements) == 2


async def test_signing_out_asks_first_and_ends_the_session(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as person:
        cookie = person.session
        page = await person.get("/auth/logout")
        assert (page.status_code, "Sign out" in page.text) == (200, True)
        assert (await person.http.post("/auth/logout", data={"form_token": "0"})).status_code == 403
        assert (await person.get("/auth/me")).status_code == 200

        answer = await person.send("/auth/logout", "/auth/logout")

        assert (answer.status_code, answer.headers["location"]) == (303, "/admin/login")
        assert person.session is None
        old = await sanic_client.http.get("/auth/me", headers={"cookie": f"session={cookie}"})
        assert (old.status_code, old.json()["errorCode"]) == (401, "session_invalid")
        assert (await person.get("/auth/logout")).headers["location"] == "/admin/login"


async def test_a_page_leads_people_to_the_sign_in_and_refuses_programs(sanic_client: LiveServer) -> None:
    async with browser(sanic_client) as person:
        page = await person.get("/admin")
        assert (page.status_code, page.headers["location"]) == (303, "/admin/login")
        program = await person.get("/admin", headers={"accept": "application/json"})
        assert (program.status_code, program.json()["errorCode"]) == (401, "operator_missing")


async def test_without_a_provider_signing_in_with_one_says_what_else_there_is(sanic_client: LiveServer) -> None:
    async with browser(sanic_client) as person:
        assert "/auth/login" not in (await person.get("/admin/login")).text
        page = await person.get("/auth/login")
        assert (page.status_code, "local account" in page.text) == (503, True)
        program = await person.get("/auth/login", headers={"accept": "*/*"})
        assert (program.status_code, program.json()["errorCode"]) == (503, "sign_in_unavailable")


async def test_signing_in_and_out_is_told_with_who_did_it(sanic_client: LiveServer) -> None:
    link = await new_link(sanic_client, "ann@example.com")
    async with browser(sanic_client) as person:
        await person.send(f"/auth/link/{link}", "/auth/link", token=link, password=PASSWORD)
        await person.send("/auth/logout", "/auth/logout")

    trail = [(event.event_type, event.actor_name, event.actor_id) for event in await told(sanic_client)]
    assert trail == [
        ("operator_created", "tests", None),
        ("operator_updated", "ann@example.com", 1),
        ("user_login", "ann@example.com", 1),
        ("user_logout", "ann@example.com", 1),
    ]


async def test_nothing_secret_is_stored_or_logged_in_clear(
    settings: Settings, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_server(settings.model_copy(update={"log_level": "debug", "access_log": True})) as live:
        link, another = await new_link(live), await new_link(live, "bob@example.com")
        async with browser(live) as person:
            await person.send(f"/auth/link/{link}", "/auth/link", token=link, password=PASSWORD)
            secrets = [link, another, PASSWORD, str(person.session), str(person.session).partition(".")[0]]
            body = {"name": "ci", "role": "owner"}
            made = await person.http.post("/admin/api/tokens", json=body, headers=own_origin(live))
            secrets.append(made.json()["token"])
            await person.sign_in("ann@example.com", f"{PASSWORD}, wrong")
            monkeypatch.setattr("app.services.operators.local_sign_in.link_owner", lambda *_: 1 / 0)
            assert (await person.get(f"/auth/link/{another}")).status_code == 500
        stored = "".join([str(await rows(live, table.select())) for table in metadata.tables.values()])

    logged = "".join(capfd.readouterr())
    assert "/auth/link/{token}" in logged
    assert "ZeroDivisionError" in logged
    assert [secret for secret in secrets if secret in stored + logged] == []
