"""Signing in with an identity provider: a real one, well-behaved and otherwise; only who is listed gets in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import false, func, select
from support.admissions import ADMISSIONS, MISDEEDS, OF_USERINFO
from support.clocks import MovableClock
from support.live import LiveServer
from support.operators import browser, new_operator
from support.provider import Provider, provider_process
from support.provider_sign_in import ANN, accounts_of, attempt_cookie, portal, sent_away, sign_in, vouched
from support.refusals import Findings
from support.rows import change, rows, told

from app.access.permissions import Role
from app.services.operators import accounts
from app.settings import Settings
from sql.statements import operators as statements
from sql.tables import operator_sessions, operators

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """One provider for all tests here."""
    with provider_process() as running:
        yield running


async def emptied(live: LiveServer) -> None:
    """Nobody is known any more, as before the first sign-in."""
    await change(live, operator_sessions.delete())
    await change(live, operators.delete())


async def session_count(live: LiveServer) -> int:
    ((count,),) = await rows(live, select(func.count()).select_from(operator_sessions))
    return count


async def test_who_is_listed_by_address_gets_in(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider, oidc_allowed_emails="ann@example.com") as (live, person):
        assert 'href="/auth/login"' in (await person.get("/admin/login")).text
        answer = await sign_in(person)

        assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
        me = (await person.get("/auth/me")).json()
        assert (me["email"], me["name"], me["role"]) == ("ann@example.com", "Ann", "operator")
        trail = [(event.event_type, event.actor_name, event.actor_id) for event in await told(live)]
        assert trail == [
            ("operator_created", "ann@example.com", None),
            ("user_login", "ann@example.com", 1),
        ]
        assert (await sign_in(person)).status_code == 303
        assert await accounts_of(live) == [("ann@example.com", "operator", "Ann")]


async def test_the_address_asked_for_is_complete_and_new_each_time(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider) as (live, person):
        first, second = [dict(parse_qsl(urlsplit(await sent_away(person)).query)) for _ in range(2)]
        (cookie,) = (await person.get("/auth/login")).headers.get_list("set-cookie")
        cookie = cookie.lower()

    assert first["redirect_uri"] == live.runtime.settings.public_url + "/auth/callback"
    assert (first["scope"], first["response_type"], first["code_challenge_method"]) == (
        "openid email profile",
        "code",
        "S256",
    )
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 43
        assert first[name] != second[name]
        assert first[name] not in cookie
    assert {"httponly", "samesite=lax", "path=/auth", "max-age=600"} <= {part.strip() for part in cookie.split(";")}


async def test_an_answer_that_cannot_be_trusted_is_refused(settings: Settings, provider: Provider) -> None:
    findings = Findings()
    async with portal(settings, provider, oidc_allowed_domains="example.com") as (live, _):
        for how, words in MISDEEDS.items():
            async with browser(live) as person:
                answer = await sign_in(person, misbehave=how)
                known = (await accounts_of(live), await session_count(live))
                found = (answer.status_code, words in answer.text, person.session, known)
            findings.add(how, found, (401, True, None, ([], 0)))
            await emptied(live)

    assert findings.found == findings.expected


async def test_an_address_that_is_not_verified_is_refused(settings: Settings, provider: Provider) -> None:
    findings = Findings()
    async with portal(settings, provider, oidc_allowed_domains="example.com") as (live, _):
        # The provider leaves out what is null in the test's claims, and says null where they say "null".
        for verified in (False, "false", "null", 0, "no", None):
            async with browser(live) as person:
                answer = await sign_in(person, {**ANN, "email_verified": verified})
            found = (answer.status_code, "ann@example.com is verified" in answer.text, await accounts_of(live))
            findings.add(repr(verified), found, (403, True, []))
            await emptied(live)

    assert findings.found == findings.expected


async def test_the_lists_and_the_claim_say_who_gets_in_as_what(settings: Settings, provider: Provider) -> None:
    findings = Findings()
    for allowed, people in ADMISSIONS:
        async with portal(settings, provider, **allowed) as (live, _):
            for claims, role in people:
                async with browser(live) as person:
                    answer = await sign_in(person, claims)
                roles = [found[1] for found in await accounts_of(live)]
                found = (answer.status_code, roles, await session_count(live))
                beyond = {name: value for name, value in claims.items() if ANN.get(name) != value}
                expected = (403, [], 0) if role is None else (303, [role], 1)
                findings.add(f"{list(allowed.values())} {beyond if claims else 'nothing'}", found, expected)
                await emptied(live)

    assert findings.found == findings.expected


async def test_a_role_is_found_where_only_userinfo_has_it(settings: Settings, provider: Provider) -> None:
    findings = Findings()
    for claim in ("roles", "access.roles"):
        async with portal(settings, provider, oidc_role_claim=claim) as (live, _):
            for _, token, userinfo, status, role in (case for case in OF_USERINFO if case[0] == claim):
                async with browser(live) as person:
                    answer = await sign_in(person, token, userinfo=json.dumps(userinfo))
                known = [found[:2] for found in await accounts_of(live)]
                expected = (status, [("ann@example.com", role)] if role else [])
                findings.add(f"{token.get('roles')} {userinfo}", (answer.status_code, known), expected)
                await emptied(live)

    assert findings.found == findings.expected


async def test_a_refusal_is_a_problem_to_a_program(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider) as (_, person):
        back = await vouched(await sent_away(person))
        answer = await person.get(back, headers={"accept": "application/json"})

    assert (answer.status_code, answer.json()["errorCode"]) == (403, "operator_not_allowed")


async def test_a_disabled_operator_does_not_get_in(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider, oidc_allowed_domains="example.com") as (live, person):
        await sign_in(person)
        await accounts.disable(live.ctx, "ann@example.com")

        assert (await sign_in(person, {**ANN, "name": "Other"})).status_code == 403
        assert await accounts_of(live) == [("ann@example.com", "operator", "Ann")]
        assert await session_count(live) == 0


async def test_without_a_claim_an_account_keeps_its_role(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider, oidc_allowed_domains="example.com") as (live, person):
        await new_operator(live, Role.OWNER, "ann@example.com")
        await sign_in(person)

        assert await accounts_of(live) == [("ann@example.com", "owner", "Ann")]


async def test_with_a_claim_the_provider_decides_each_time(settings: Settings, provider: Provider) -> None:
    lists = {"oidc_allowed_domains": "example.com", "oidc_role_claim": "roles", "oidc_default_role": "read_only"}
    async with portal(settings, provider, **lists) as (live, person):
        found = []
        for roles in (["owner"], ["operator"], []):
            await sign_in(person, {**ANN, "roles": roles})
            found.append((await accounts_of(live))[0][1])

        assert found == ["owner", "operator", "read_only"]
        updates = [event for event in await told(live) if event.event_type == "operator_updated"]
        assert [(event.actor_name, event.actor_id) for event in updates] == [("ann@example.com", 1)] * 2


async def test_what_the_token_leaves_out_is_asked_for(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider, oidc_allowed_domains="example.com") as (live, person):
        same = json.dumps({"sub": "person-1", **ANN})
        assert (await sign_in(person, {}, userinfo=same)).status_code == 303
        only_verified = json.dumps({"sub": "person-1", "email": ANN["email"], "email_verified": True})
        assert (await sign_in(person, {"email": ANN["email"]}, userinfo=only_verified)).status_code == 303
        of_another = json.dumps({"sub": "person-1", "email": "bob@example.com", "email_verified": True})
        assert (await sign_in(person, {"email": ANN["email"]}, userinfo=of_another)).status_code == 403
        other = json.dumps({"sub": "person-2", **ANN})
        assert (await sign_in(person, {}, userinfo=other)).status_code == 401
        assert len(await accounts_of(live)) == 1


async def test_an_answer_is_good_only_in_the_browser_that_asked(
    settings: Settings, provider: Provider, clock: MovableClock
) -> None:
    async with (
        portal(settings, provider, clock, oidc_allowed_domains="example.com") as (live, person),
        browser(live) as victim,
    ):
        back = await vouched(await sent_away(person))
        assert (await victim.get(back)).status_code == 401
        await sent_away(victim)
        assert (await victim.get(back)).status_code == 401
        name = attempt_cookie(person)
        victim.http.cookies.set(name, "A" * 200, path="/auth")
        assert (await victim.get(back)).status_code == 401
        victim.http.cookies.set(name, "ä".encode().hex(), path="/auth")
        assert (await victim.get(back)).status_code == 401

        clock.move(minutes=10, seconds=1)
        assert (await person.get(back)).status_code == 401
        assert await session_count(live) == 0


async def test_an_answer_is_good_once(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider, oidc_allowed_domains="example.com") as (live, person):
        attempt = await sent_away(person)
        name = attempt_cookie(person)
        cookie = person.http.cookies.get(name)
        back = await vouched(attempt)
        assert (await person.get(back)).status_code == 303
        assert person.http.cookies.get(name) is None
        again = await live.http.get(back, headers={"cookie": f"{name}={cookie}"})
        assert (again.status_code, again.json()["errorCode"]) == (401, "sign_in_failed")
        assert await session_count(live) == 1


async def test_an_address_may_come_back_so_often_only(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider, sign_ins_per_address=2) as (_, person):
        await sent_away(person)
        state = dict(parse_qsl(urlsplit(await sent_away(person)).query))["state"]
        answers = [await person.get("/auth/callback", params={"state": state, "code": "guess"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401, 401, 429]


async def test_a_provider_that_does_not_answer_is_said_to_be_away(settings: Settings) -> None:
    with provider_process() as provider:
        async with portal(settings, provider, oidc_allowed_domains="example.com") as (_, person):
            answer = await sign_in(person, misbehave="break")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
            back = await vouched(await sent_away(person))
            provider.stop()
            assert (await person.get(back)).status_code == 503
        async with portal(settings, provider) as (_, person):
            away = await person.get("/auth/login", headers={"accept": "application/json"})
            assert (away.status_code, away.json()["errorCode"]) == (503, "sign_in_unavailable")
            assert (await person.get("/admin/login")).status_code == 200


async def test_a_provider_that_calls_itself_otherwise_is_not_believed(settings: Settings, provider: Provider) -> None:
    elsewhere = provider.issuer.replace("127.0.0.1", "localhost")
    async with portal(settings, provider, oidc_issuer=elsewhere) as (_, person):
        assert (await person.get("/auth/login")).status_code == 503


async def bindings_of(live: LiveServer) -> list[tuple[str, str | None]]:
    found = await rows(live, select(operators.c.email, operators.c.oidc_subject).order_by(operators.c.id))
    return [tuple(row) for row in found]


async def test_an_address_in_other_hands_does_not_open_its_account(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider, oidc_allowed_domains="example.com") as (live, person), browser(live) as other:
        await new_operator(live, Role.OWNER, "ann@example.com")
        assert (await sign_in(person)).status_code == 303
        assert await bindings_of(live) == [("ann@example.com", "person-1")]
        bound = [event.metadata for event in await told(live) if event.event_type == "operator_updated"][-1]
        assert json.loads(bound) | {"issuer": provider.issuer, "subject": "person-1"} == json.loads(bound)

        back = await vouched(await sent_away(other), {**ANN, "sub": "person-2"})
        refused = await other.get(back, headers={"accept": "application/json"})
        assert (refused.status_code, refused.json()["errorCode"]) == (403, "operator_not_allowed")
        assert "portal create-operator --email ann@example.com --unbind" in refused.json()["detail"]
        assert await session_count(live) == 1

        assert [await accounts.unbind(live.ctx, "Ann@example.com") for _ in range(2)] == [True, False]
        assert (await session_count(live), await bindings_of(live)) == (0, [("ann@example.com", None)])
        assert (await sign_in(other, {**ANN, "sub": "person-2"})).status_code == 303
        assert (await sign_in(person)).status_code == 403


async def test_a_person_keeps_the_account_when_their_address_changes(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider, oidc_allowed_domains="example.com") as (live, person):
        await new_operator(live, Role.READ_ONLY, "bob@example.com")
        await sign_in(person)
        # Even to that of somebody else; and whether the new address is allowed is asked at each sign-in.
        assert (await sign_in(person, {**ANN, "email": "bob@example.com"})).status_code == 303
        assert (await person.get("/auth/me")).json()["email"] == "ann@example.com"
        assert (await sign_in(person, {**ANN, "email": "ann@elsewhere.example"})).status_code == 403
        assert await bindings_of(live) == [("bob@example.com", None), ("ann@example.com", "person-1")]


async def test_of_two_first_sign_ins_at_the_same_moment_one_has_the_account(
    settings: Settings, provider: Provider
) -> None:
    async with portal(settings, provider, oidc_allowed_domains="example.com") as (live, person), browser(live) as other:
        await new_operator(live, Role.OWNER, "ann@example.com")
        answers = await asyncio.gather(sign_in(person), sign_in(other, {**ANN, "sub": "person-2"}))
        assert sorted(answer.status_code for answer in answers) == [303, 403]

        await accounts.unbind(live.ctx, "ann@example.com")
        answers = await asyncio.gather(sign_in(person), sign_in(other))
        assert [answer.status_code for answer in answers] == [303, 303]
        assert await bindings_of(live) == [("ann@example.com", "person-1")]


async def test_a_person_who_is_bound_at_that_moment_by_another_address_is_told(
    settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with portal(settings, provider, oidc_allowed_domains="example.com") as (live, person):
        await new_operator(live, Role.OWNER, "ann@example.com")
        await sign_in(person, {**ANN, "email": "bob@example.com"})
        monkeypatch.setattr(statements, "operator_by_subject", statements.operator_by_subject.where(false()))
        answer = await sign_in(person)

    assert (answer.status_code, "by another address" in answer.text) == (401, True)
