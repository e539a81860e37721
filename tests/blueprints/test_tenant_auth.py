"""Tenants sign in: one-time passwords, their limits, and sessions that end."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import func, select
from support.admin import as_operator
from support.clocks import MovableClock
from support.live import LiveServer
from support.refusals import Findings, invalid, refusal
from support.rows import row_counts, rows, told
from support.sign_in import (
    GENERATE,
    VERIFY,
    code_in,
    deliver_all,
    generate,
    mailed,
    reachable,
    sent_code,
    signed_in,
    verify,
    wrong,
)
from support.statements import asked_together, counted_statements

from app.services.demonstration import seed_demonstration
from app.services.tenants.sessions import SESSIONS
from sql.tables import metadata, otp_challenges, rate_windows, tenant_sessions

SESSION = "/api/tenant/auth/session"
REFRESH = "/api/tenant/auth/refresh"
LOGOUT = "/api/tenant/auth/logout"


async def test_a_tenant_signs_in_with_the_code_it_was_sent(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)

    asked = await generate(sanic_client, tenant.slug)
    assert await deliver_all(sanic_client) == ["sent"]
    answer = await verify(sanic_client, tenant.slug, code_in((await mailed(sanic_client))[0].text))

    assert (asked.status_code, asked.json().keys()) == (200, {"otp_code", "expires_in", "message"})
    assert (asked.json()["otp_code"], asked.json()["expires_in"]) == ("", 600)
    session = answer.json()
    assert (answer.status_code, session.keys()) == (200, {"session_token", "expires_at", "tenant_id", "tenant_slug"})
    assert (session["tenant_id"], session["tenant_slug"], len(session["session_token"])) == (tenant.id, tenant.slug, 43)
    ends = datetime.fromisoformat(session["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < ends <= timedelta(hours=24)


async def test_a_name_and_a_code_are_taken_however_they_were_typed(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    typed = f" {tenant.slug.upper()}\n"

    asked = await generate(sanic_client, typed)
    assert await deliver_all(sanic_client) == ["sent"]
    mail = (await mailed(sanic_client))[0]
    code = code_in(mail.text)
    answer = await verify(sanic_client, typed, f" {code[:3]}-{code[3:]}\r\n")

    assert (asked.status_code, answer.status_code) == (200, 200)
    assert answer.json()["tenant_slug"] == tenant.slug
    assert "only the newest code works" in mail.text
    # A slug in a path and in a query is somebody's as well.
    headers = await as_operator(sanic_client)
    for path in (f"/usage/{quote(typed)}", f"/admin/api/tenants/{quote(typed)}", f"/licenses/branding/{quote(typed)}"):
        assert (await sanic_client.http.get(path, headers=headers)).status_code == 200, path
    for path in ("/admin/api/events", "/admin/api/devices", "/admin/api/codes", "/admin/api/runs"):
        answer = await sanic_client.http.get(path, headers=headers, params={"tenant_slug": typed})
        assert answer.status_code == 200, path
    seen = await sanic_client.http.get("/admin/api/events", headers=headers, params={"tenant_slug": typed})
    assert {event["tenant_id"] for event in seen.json()["events"]} == {tenant.id}


async def test_known_unknown_and_unreachable_tenants_are_answered_alike(sanic_client: LiveServer) -> None:
    known, silent = await reachable(sanic_client), await reachable(sanic_client, email=None)
    answers, counted = [], []
    await generate(sanic_client, "warming-up")

    for slug in (known.slug, silent.slug, "no-such-tenant"):
        with counted_statements(sanic_client.runtime.db) as statements:
            answers.append(await generate(sanic_client, slug))
        counted.append(tuple(statements))

    assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}
    assert len(set(counted)) == 1
    assert len(counted[0]) == 5
    assert await deliver_all(sanic_client) == ["unreachable", "sent", "unreachable", "unreachable"]


async def test_the_answer_to_a_wrong_code_does_not_tell_who_is_known(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    code = await sent_code(sanic_client, tenant.slug)
    counted, answers = [], []

    for slug in (tenant.slug, "no-such-tenant"):
        with counted_statements(sanic_client.runtime.db) as statements:
            answers.append(await verify(sanic_client, slug, wrong(code)))
        counted.append(tuple(statements))

    told_alike = [{name: value for name, value in answer.json().items() if name != "requestId"} for answer in answers]
    assert told_alike[0] == told_alike[1]
    assert (answers[0].status_code, told_alike[0]["errorCode"]) == (401, "one_time_password_invalid")
    assert counted[0] == counted[1]
    assert len(counted[0]) == 5


async def test_a_code_works_once(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    code = await sent_code(sanic_client, tenant.slug)

    answers = [await verify(sanic_client, tenant.slug, code) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 401]


async def test_the_demonstration_can_sign_in(sanic_client: LiveServer) -> None:
    await seed_demonstration(sanic_client.ctx)

    assert (await verify(sanic_client, "demo", await sent_code(sanic_client, "demo"))).status_code == 200


async def test_of_parallel_right_guesses_one_gets_a_session(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    code = await sent_code(sanic_client, tenant.slug)

    answers = await asyncio.gather(*(verify(sanic_client, tenant.slug, code) for _ in range(5)))

    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 4}
    assert (await row_counts(sanic_client))["tenant_sessions"] == 1


async def test_a_code_ends_after_ten_minutes(sanic_client: LiveServer, clock: MovableClock) -> None:
    tenant = await reachable(sanic_client)
    code = await sent_code(sanic_client, tenant.slug)
    clock.move(minutes=10, seconds=1)

    assert (await verify(sanic_client, tenant.slug, code)).status_code == 401


async def test_only_the_newest_code_works(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    first = await sent_code(sanic_client, tenant.slug)
    while (second := await sent_code(sanic_client, tenant.slug)) == first:
        pass

    assert (await verify(sanic_client, tenant.slug, first)).status_code == 401
    assert (await verify(sanic_client, tenant.slug, second)).status_code == 200


async def test_five_wrong_guesses_end_a_code_for_who_has_guessed(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    code = await sent_code(sanic_client, tenant.slug)

    guesses = await asyncio.gather(*(verify(sanic_client, tenant.slug, wrong(code)) for _ in range(40)))

    assert {answer.status_code for answer in guesses} == {401}
    assert (await verify(sanic_client, tenant.slug, code)).status_code == 401
    # A new one is guessed at anew: three times more in this day.
    code = await sent_code(sanic_client, tenant.slug)
    again = [(await verify(sanic_client, tenant.slug, wrong(code))).status_code for _ in range(4)]
    assert again == [401, 401, 401, 429]


async def test_another_tenants_code_does_not_work(sanic_client: LiveServer) -> None:
    first, second = await reachable(sanic_client), await reachable(sanic_client)
    await sent_code(sanic_client, second.slug)
    code = await sent_code(sanic_client, first.slug)

    answer = await verify(sanic_client, second.slug, code)

    # Equal digits happen once in a million.
    assert answer.status_code == 401


@pytest.mark.parametrize("slug", ["known", "no-such-tenant"])
async def test_parallel_requests_never_pass_three_an_hour(
    sanic_client: LiveServer, clock: MovableClock, slug: str
) -> None:
    name = (await reachable(sanic_client)).slug if slug == "known" else slug

    answers = await asyncio.gather(*(generate(sanic_client, name) for _ in range(20)))

    assert Counter(answer.status_code for answer in answers) == {200: 3, 429: 17}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["errorCode"] == "rate_limited"
    assert 3500 <= int(refused.headers["retry-after"]) <= 3600
    assert (await row_counts(sanic_client))["deliveries"] == 3
    clock.move(hours=1, seconds=1)
    assert (await generate(sanic_client, name)).status_code == 200


async def test_a_code_that_was_used_still_counts(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    for _ in range(3):
        await signed_in(sanic_client, tenant)
        sanic_client.http.cookies.clear()

    assert (await generate(sanic_client, tenant.slug)).status_code == 429


async def test_an_address_may_ask_thirty_times_in_ten_minutes(sanic_client: LiveServer, clock: MovableClock) -> None:
    answers = [await generate(sanic_client, f"slug-{number}") for number in range(31)]

    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    clock.move(minutes=10, seconds=1)
    assert (await generate(sanic_client, "slug-31")).status_code == 200


async def test_an_address_may_guess_120_times_in_ten_minutes(sanic_client: LiveServer) -> None:
    answers = await asyncio.gather(
        *(verify(sanic_client, f"slug-{number % 7}", f"{number:06d}") for number in range(130))
    )

    assert Counter(answer.status_code for answer in answers) == {401: 120, 429: 10}


WRONG_BODIES: list[tuple[str, dict[str, Any], str]] = [
    (GENERATE, {}, "tenant_slug"),
    (GENERATE, {"tenant_slug": "ab"}, "tenant_slug"),
    (GENERATE, {"tenant_slug": "a" * 101}, "tenant_slug"),
    (VERIFY, {"tenant_slug": "demo"}, "otp_code"),
    (VERIFY, {"tenant_slug": "demo", "otp_code": "12345"}, "otp_code"),
    (VERIFY, {"tenant_slug": "demo", "otp_code": 123456}, "otp_code"),
]


async def test_what_is_wrong_in_a_body_is_named(sanic_client: LiveServer) -> None:
    before = await row_counts(sanic_client)
    findings = Findings()

    for path, body, field in WRONG_BODIES:
        answer = await sanic_client.http.post(path, json=body)
        findings.add(f"{path} {body}", refusal(answer, "errors"), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_a_session_says_whose_it_is_and_refreshes_to_itself(sanic_client: LiveServer) -> None:
    tenant = await signed_in(sanic_client)

    session = (await sanic_client.http.get(SESSION, headers=tenant.headers)).json()
    refreshed = (await sanic_client.http.post(REFRESH, headers=tenant.headers)).json()

    assert session.keys() == {"tenant_id", "tenant_slug", "expires_at", "created_at"}
    assert (session["tenant_id"], session["tenant_slug"]) == (tenant.id, tenant.slug)
    assert session["created_at"].endswith("Z")
    assert refreshed == {
        "session_token": tenant.session_token,
        "expires_at": session["expires_at"],
        "tenant_id": tenant.id,
        "tenant_slug": tenant.slug,
    }


async def test_without_a_session_header_nothing_is_done(sanic_client: LiveServer) -> None:
    before = await row_counts(sanic_client)
    findings = Findings()

    for method, path in (("GET", SESSION), ("POST", REFRESH), ("POST", LOGOUT)):
        for headers in ({}, {"x-session-token": ""}):
            answer = await sanic_client.http.request(method, path, headers=headers)
            findings.add(f"{method} {path} {headers}", refusal(answer), (401, "session_missing", []))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_signing_out_ends_that_session_and_no_other(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    first, second = await signed_in(sanic_client, tenant), await signed_in(sanic_client, tenant)

    answers = [await sanic_client.http.post(LOGOUT, headers=first.headers) for _ in range(2)]
    unknown = await sanic_client.http.post(LOGOUT, headers={"x-session-token": "nobody's"})

    assert [(answer.status_code, answer.content) for answer in (*answers, unknown)] == [(204, b"")] * 3
    gone = await sanic_client.http.get(SESSION, headers=first.headers)
    assert (gone.status_code, gone.json()["errorCode"]) == (401, "session_invalid")
    assert (await sanic_client.http.get(SESSION, headers=second.headers)).status_code == 200


async def test_signing_in_and_out_are_events_of_the_tenant(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    session = await signed_in(sanic_client, tenant)
    await sanic_client.http.post(LOGOUT, headers={**session.headers, "x-request-id": "the-last-one"})

    trail = await told(sanic_client, tenant.id)

    assert [event.event_type for event in trail] == ["tenant_created", "session_created", "user_login", "user_logout"]
    assert {(event.actor_type, event.actor_name) for event in trail[1:]} == {("tenant", tenant.name)}
    assert trail[-1].request_id == "the-last-one"


async def test_a_session_ends_after_half_an_hour_without_a_request(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    tenant = await signed_in(sanic_client)
    statuses = []
    for minutes in (29, 29, 31, 0):
        clock.move(minutes=minutes)
        statuses.append((await sanic_client.http.get(SESSION, headers=tenant.headers)).status_code)

    assert statuses == [200, 200, 401, 401]


async def test_a_session_ends_after_a_day_however_busy(sanic_client: LiveServer, clock: MovableClock) -> None:
    tenant = await signed_in(sanic_client)
    statuses = []
    for _ in range(3 * 24):
        clock.move(minutes=20)
        statuses.append((await sanic_client.http.post(REFRESH, headers=tenant.headers)).status_code)

    assert statuses == [200] * 71 + [401]


async def test_a_request_with_a_session_costs_one_statement_and_activity_is_noted_once_a_minute(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    tenant = await signed_in(sanic_client)
    with counted_statements(sanic_client.runtime.db) as statements:
        for _ in range(5):
            await sanic_client.http.get(SESSION, headers=tenant.headers)
    assert len(statements) == 5
    assert all(statement.lstrip().startswith(("SELECT", "WITH")) for statement in statements)

    with counted_statements(sanic_client.runtime.db) as statements:
        for _ in range(6):
            clock.move(seconds=31)
            await sanic_client.http.get(SESSION, headers=tenant.headers)
    assert [statement.split()[0] for statement in statements].count("UPDATE") == 3
    ((last,),) = await rows(sanic_client, select(tenant_sessions.c.last_activity))
    assert clock.now() - last < timedelta(seconds=31)


async def test_many_requests_at_once_share_their_session_lookup(sanic_client: LiveServer) -> None:
    tenant = await signed_in(sanic_client)

    runtime = sanic_client.runtime
    with asked_together(runtime, SESSIONS, 60) as shared, counted_statements(runtime.db) as statements:
        answers = await asyncio.gather(*(sanic_client.http.get(SESSION, headers=tenant.headers) for _ in range(60)))

    assert {answer.status_code for answer in answers} == {200}
    assert 1 <= len(statements) <= shared


async def test_no_secret_is_stored_in_clear(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client)
    code = await sent_code(sanic_client, tenant.slug)
    session = (await verify(sanic_client, tenant.slug, code)).json()["session_token"]
    passwords = re.compile(rf"(?<![\w.])({code}|{await sent_code(sanic_client, tenant.slug)})(?!\w)")

    counts = await row_counts(sanic_client)
    assert (counts["otp_challenges"], counts["tenant_sessions"], counts["deliveries"]) == (1, 1, 2)
    for name in ("otp_challenges", "tenant_sessions", "deliveries", "platform_events", "rate_windows"):
        for row in await rows(sanic_client, select(metadata.tables[name])):
            assert not [value for value in row if passwords.search(str(value))]
            assert session not in str(tuple(row))
            assert session.encode() not in [value for value in row if isinstance(value, bytes)]


async def test_limits_are_counted_for_whom_nobody_can_read(sanic_client: LiveServer) -> None:
    await generate(sanic_client, "no-such-tenant")

    stored = await rows(sanic_client, select(rate_windows.c.key_hash, rate_windows.c.hits))
    assert [(len(row.key_hash), row.hits) for row in stored] == [(32, 1)] * 3
    assert (await rows(sanic_client, select(func.count()).select_from(otp_challenges)))[0][0] == 0
