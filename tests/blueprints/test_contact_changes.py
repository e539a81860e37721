"""Changes of where one-time passwords go: a session asks; who got them before decides, or an operator."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import select
from support.admin import as_operator, as_tenant
from support.clocks import MovableClock
from support.live import LiveServer
from support.operators import browser
from support.rows import change, row_counts, rows, told
from support.sign_in import deliver_all, mailed, reachable

from app.access.permissions import Role
from app.messages.mailbox import MailboxMessage
from app.services.directory.lookup import Tenant
from app.services.tenants.contact_changes import decide_by_link
from app.services.upkeep.sessions import purge_sessions
from sql.tables import contact_changes, deliveries, platform_events, tenants

PROFILE = "/api/tenant/profile"
DECIDE = "/api/tenant/contact-change"
OLD, NEW = "it@example.com", "thief@evil.example"


async def save(live: LiveServer, tenant: Tenant, **body: Any) -> Response:
    """What the tenants' front end gets when a profile is saved there."""
    return await live.http.put(PROFILE, headers=await as_tenant(live, tenant.id), json=body)


async def address_of(live: LiveServer, tenant: Tenant) -> tuple[str | None, str | None]:
    query = select(tenants.c.email, tenants.c.phone_number).where(tenants.c.id == tenant.id)
    return tuple((await rows(live, query))[0])


async def sent(live: LiveServer) -> list[MailboxMessage]:
    """What was mailed, the newest first, once all is sent."""
    await deliver_all(live)
    return await mailed(live)


def link_in(message: MailboxMessage) -> str:
    """The token of the link in a message."""
    (token,) = re.findall(r"/contact-change/(\S+)", message.text)
    return token


async def asked(live: LiveServer) -> tuple[Tenant, str]:
    """A tenant somebody has stolen a session of, and the link that was sent to it."""
    tenant = await reachable(live)
    await save(live, tenant, email=NEW)
    return tenant, link_in((await sent(live))[0])


async def test_another_address_waits_and_the_front_end_is_told_so(sanic_client: LiveServer) -> None:
    live, tenant = sanic_client, await reachable(sanic_client)

    answer = await save(live, tenant, name="Renamed", email=NEW, phoneNumber="+49 30 1")

    assert (answer.status_code, answer.json()["errorCode"]) == (409, "contact_change_waits")
    assert answer.json()["detail"] == (
        "The change of the e-mail address and the telephone number waits for confirmation: a message with a link was"
        f" sent to {OLD}. Everything else was saved. Follow the link within 24 hours, or ask your vendor to confirm the"
        " change."
    )
    assert await address_of(live, tenant) == (OLD, None)
    shown = (await live.http.get(PROFILE, headers=await as_tenant(live, tenant.id))).json()
    assert (shown["name"], shown["email"], shown["phoneNumber"]) == ("Renamed", OLD, None)
    (message,) = await sent(live)
    assert (message.to, message.subject) == (OLD, "Confirm a change of your contact data")
    assert f"the e-mail address to {NEW} and the telephone number to +49 30 1" in message.text
    trail = [event.event_type for event in await told(live, tenant.id)]
    assert trail[1:] == ["contact_change_requested", "tenant_updated"]


async def test_what_stays_or_is_the_first_address_waits_for_nobody(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant, silent = await reachable(live), await reachable(live, email=None)

    same = await save(live, tenant, email=f" {OLD} ", phoneNumber="", domain="acme.example")
    first = await save(live, silent, email=NEW)

    assert (same.status_code, first.status_code, first.json()["email"]) == (200, 200, NEW)
    assert await sent(live) == []


async def test_the_same_again_asks_nobody_twice_and_another_supersedes_it(sanic_client: LiveServer) -> None:
    live, tenant = sanic_client, await reachable(sanic_client)
    for _ in range(3):
        assert (await save(live, tenant, email=NEW)).status_code == 409
    old = link_in((await sent(live))[0])
    assert (await save(live, tenant, email="")).status_code == 409
    messages = await sent(live)
    assert len(messages) == 2
    assert "the e-mail address to none" in messages[0].text

    gone = await live.http.post(DECIDE, json={"token": old, "is_confirmed": True})

    assert (gone.status_code, gone.json()["errorCode"]) == (401, "sign_in_link_invalid")
    states = Counter(row.state for row in await rows(live, select(contact_changes.c.state)))
    assert states == {"waiting": 1, "superseded": 1}
    statuses = [(await save(live, tenant, email=f"{number}@evil.example")).status_code for number in range(5)]
    assert statuses == [409, 409, 409, 429, 429]
    limited = await save(live, tenant, email="more@evil.example", name="Not saved")
    assert "seconds" in limited.json()["detail"]
    assert (await live.http.get(PROFILE, headers=await as_tenant(live, tenant.id))).json()["name"] == tenant.name


async def test_whoever_got_the_codes_before_confirms_once(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant, token = await asked(live)

    answers = [await live.http.post(DECIDE, json={"token": token, "is_confirmed": True}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 401]
    assert answers[0].json() | {"requested_at": "", "expires_at": ""} == {
        "tenant_slug": tenant.slug,
        "tenant_name": tenant.name,
        "changes": [{"field": "email", "value": NEW}],
        "state": "made",
        "requested_at": "",
        "expires_at": "",
    }
    assert await address_of(live, tenant) == (NEW, None)
    newest = (await sent(live))[0]
    assert (newest.to, newest.subject) == (OLD, "Your contact data have changed")
    assert f"the e-mail address to {NEW}" in newest.text
    last = (await told(live, tenant.id))[-1]
    assert (last.event_type, last.actor_type) == ("tenant_updated", "tenant")


async def test_a_refusal_changes_nothing_and_ends_every_session(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant, token = await asked(live)
    thief, other = await as_tenant(live, tenant.id), await as_tenant(live, (await reachable(live)).id)
    async with browser(live) as person:
        page = await person.get(f"/contact-change/{token}")
        assert (page.status_code, f"the e-mail address to {NEW}" in page.text) == (200, True)
        assert await address_of(live, tenant) == (OLD, None)
        for neither in ({}, {"decision": "maybe"}):
            undecided = await person.send(f"/contact-change/{token}", "/contact-change", token=token, **neither)
            assert undecided.status_code == 400
        assert (await live.http.get(PROFILE, headers=thief)).status_code == 200
        done = await person.send(f"/contact-change/{token}", "/contact-change", token=token, decision="refuse")
        assert (done.status_code, "Nothing was changed" in done.text) == (200, True)
        assert (await person.get(f"/contact-change/{token}")).status_code == 401

    assert await address_of(live, tenant) == (OLD, None)
    assert [(await live.http.get(PROFILE, headers=who)).status_code for who in (thief, other)] == [401, 200]
    assert (await told(live, tenant.id))[-1].event_type == "contact_change_refused"


async def test_a_person_confirms_on_a_page(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant, token = await asked(live)
    async with browser(live) as person:
        done = await person.send(f"/contact-change/{token}", "/contact-change", token=token, decision="confirm")

    assert (done.status_code, f"the e-mail address to {NEW}" in done.text) == (200, True)
    assert await address_of(live, tenant) == (NEW, None)


async def test_a_link_ends_with_its_day_and_cannot_be_guessed(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    tenant, token = await asked(live)
    clock.move(hours=24)
    for guess in (token, "nobody's"):
        assert (await live.http.post(DECIDE, json={"token": guess, "is_confirmed": True})).status_code == 401
    clock.move(days=365)
    _, of_next_year = await asked(live)
    clock.move(days=-365)
    assert (await live.http.post(DECIDE, json={"token": of_next_year, "is_confirmed": True})).status_code == 401
    less = {"one_time_password_guesses_per_address": 1}
    live.runtime.settings = live.runtime.settings.model_copy(update=less)
    assert (await live.http.post(DECIDE, json={"token": "guess", "is_confirmed": True})).status_code == 429
    assert await address_of(live, tenant) == (OLD, None)
    clock.move(days=31)
    assert (await purge_sessions(live.ctx))["contact_changes"] == 1


async def test_no_link_is_sent_that_has_ended_and_none_says_more_time_than_is_left(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    live, tenant = sanic_client, await reachable(sanic_client)
    await save(live, tenant, email=NEW)
    clock.move(hours=20)
    again = await save(live, tenant, email=NEW)
    assert "Follow the link within 4 hours" in again.json()["detail"]
    (late,) = await sent(live)
    assert "Within 4 hours:" in late.text
    await save(live, tenant, email="other@evil.example")
    clock.move(hours=24)

    assert await sent(live) == [late]

    states = Counter(row.state for row in await rows(live, select(deliveries.c.state)))
    assert states == {"sent": 1, "needless": 1}


async def test_no_token_of_a_link_is_stored(sanic_client: LiveServer) -> None:
    live = sanic_client
    _, token = await asked(live)

    for table in (contact_changes, deliveries, platform_events):
        for row in await rows(live, select(table)):
            assert token not in str(tuple(row))
            assert token.encode() not in [value for value in row if isinstance(value, bytes)]


async def test_operators_decide_for_a_tenant_that_they_know(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant, _ = await asked(live)
    path = f"/admin/api/tenants/{tenant.slug}/contact-change"
    headers, reader = await as_operator(live), await as_operator(live, Role.READ_ONLY)

    waits = await live.http.get(path, headers=reader)
    assert (waits.status_code, waits.json()["changes"]) == (200, [{"field": "email", "value": NEW}])
    assert (await live.http.post(f"{path}/confirm", headers=reader)).status_code == 403
    answers = [await live.http.post(f"{path}/confirm", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 404]
    assert answers[1].json()["errorCode"] == "contact_change_not_found"
    assert await address_of(live, tenant) == (NEW, None)
    assert (await sent(live))[0].to == OLD
    await save(live, tenant, email="third@example.com")
    assert (await live.http.post(f"{path}/refuse", headers=headers)).json()["state"] == "refused"
    assert await address_of(live, tenant) == (NEW, None)
    assert (await live.http.get(path, headers=reader)).status_code == 404


async def test_where_codes_went_is_told_when_an_operator_moves_them(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant, token = await asked(live)
    headers = await as_operator(live)

    moved = await live.http.put(f"/admin/api/tenants/{tenant.slug}", headers=headers, json={"email": "new@example.com"})

    assert (moved.status_code, moved.json()["email"]) == (200, "new@example.com")
    newest = (await sent(live))[0]
    assert (newest.to, "the e-mail address to new@example.com" in newest.text) == (OLD, True)
    # What waited is superseded: it must not undo what the operator has done.
    assert (await live.http.post(DECIDE, json={"token": token, "is_confirmed": True})).status_code == 401
    before = (await row_counts(live))["deliveries"]
    await live.http.put(f"/admin/api/tenants/{tenant.slug}", headers=headers, json={"name": "Other"})
    assert (await row_counts(live))["deliveries"] == before


@pytest.mark.parametrize(
    ("method", "email", "phone", "reached"),
    [
        ("email", OLD, "+1", [OLD]),
        ("sms", OLD, "+1", [OLD, "sms +1"]),
        ("whatsapp", None, "+1", ["whatsapp +1"]),
        ("email", None, "+1", ["sms +1"]),
    ],
)
async def test_the_confirmation_goes_where_one_time_passwords_go(
    sanic_client: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    email: str | None,
    phone: str,
    reached: list[str],
) -> None:
    live, tenant = sanic_client, await reachable(sanic_client, email=email)
    values = {"phone_number": phone, "otp_delivery_method": method}
    await change(live, tenants.update().where(tenants.c.id == tenant.id).values(**values))
    texts: list[tuple[str, str]] = []

    class Messenger:
        async def send(self, channel: str, to: str, text: str) -> None:
            texts.append((f"{channel} {to}", text))

        async def close(self) -> None:
            pass

    monkeypatch.setattr(live.runtime, "messenger", Messenger())

    answer = await save(live, tenant, phoneNumber="+2")

    assert (answer.status_code, "the telephone number" in answer.json()["detail"]) == (409, True)
    mails = await sent(live)
    assert [message.to for message in mails] + [to for to, _ in texts] == reached
    text = texts[0][1] if texts else mails[0].text
    token = re.findall(r"/contact-change/(\S+)", text)[0]
    await decide_by_link(live.ctx, token, is_confirmed=True)
    assert await address_of(live, tenant) == (email, "+2")
    texts.clear()
    await sent(live)
    assert [to for to, _ in texts] == [f"{'whatsapp' if method == 'whatsapp' else 'sms'} {phone}"]


async def test_graphql_says_the_same(sanic_client: LiveServer) -> None:
    live, tenant = sanic_client, await reachable(sanic_client)
    document = """mutation($input: UpdateProfileInput!) {
        updateProfile(input: $input) { tenant { slug } problems { code message status } }
    }"""
    body = {"query": document, "variables": {"input": {"email": NEW}}}

    answer = await live.http.post("/graphql", headers=await as_tenant(live, tenant.id), json=body)

    payload = answer.json()["data"]["updateProfile"]
    assert (payload["tenant"], [problem["code"] for problem in payload["problems"]]) == (None, ["contact_change_waits"])
    assert "waits for confirmation" in payload["problems"][0]["message"]
    assert await address_of(live, tenant) == (OLD, None)
