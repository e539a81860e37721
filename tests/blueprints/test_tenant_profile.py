"""A tenant sees and changes its own profile, and nothing else."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from support.admin import as_operator, as_tenant
from support.builders import activated, licensed, report, run_event
from support.live import LiveServer
from support.refusals import Findings, invalid, refusal
from support.rows import row_counts, told

from app.context import Context
from app.errors import TenantNotFoundError
from app.services.tenants.changes import update_own_profile
from app.services.tenants.deletion import delete_tenant
from app.services.tenants.details import own_details
from app.services.tenants.sessions import authenticate

PATH = "/api/tenant/profile"


async def test_a_tenant_sees_itself(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client, await licensed(sanic_client, codes=2))
    await licensed(sanic_client)
    await report(sanic_client, device, run_event("a", 4))
    tenant = device.tenant

    answer = await sanic_client.http.get(PATH, headers=await as_tenant(sanic_client, tenant.tenant_id))

    shown = answer.json()
    assert answer.status_code == 200
    assert (shown["slug"], shown["usageQuota"], shown["usageCurrent"]) == (tenant.slug, 50, 4)
    assert (shown["activationCodesTotal"], shown["activationCodesUsed"]) == (2, 1)
    assert (shown["subscription"]["planName"], shown["subscription"]["status"]) == (tenant.plan, "active")


@pytest.mark.parametrize("spelling", ["camel", "snake"])
async def test_a_tenant_changes_itself_and_no_other(sanic_client: LiveServer, spelling: str) -> None:
    mine, other = [await licensed(sanic_client) for _ in range(2)]
    headers = await as_tenant(sanic_client, mine.tenant_id)
    theirs = await sanic_client.http.get(PATH, headers=await as_tenant(sanic_client, other.tenant_id))
    names = ("logoUrl", "primaryColor", "phoneNumber")
    if spelling == "snake":
        names = ("logo_url", "primary_color", "phone_number")
    sent = dict(zip(names, ("https://acme.example/l.svg", "#0A5", "+49 30 1"), strict=True))

    answer = await sanic_client.http.put(
        PATH, headers=headers, json={"name": "Mine", "email": "me@acme.example", **sent}
    )

    shown = answer.json()
    assert (shown["name"], shown["email"], shown["logoUrl"], shown["primaryColor"], shown["phoneNumber"]) == (
        "Mine",
        "me@acme.example",
        "https://acme.example/l.svg",
        "#0A5",
        "+49 30 1",
    )
    assert (await sanic_client.http.get(PATH, headers=headers)).json() == shown
    again = await sanic_client.http.get(PATH, headers=await as_tenant(sanic_client, other.tenant_id))
    assert again.json() == theirs.json()
    event = (await told(sanic_client, mine.tenant_id))[-1]
    assert (event.event_type, event.actor_type) == ("tenant_updated", "tenant")
    assert orjson.loads(event.metadata)["changes"]["email"] == {"from": None, "to": "me@acme.example"}


async def test_a_blank_clears_and_the_list_stays_sound(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    headers = await as_tenant(sanic_client, tenant.tenant_id)
    await sanic_client.http.put(PATH, headers=headers, json={"logoUrl": "https://b.example", "domain": "b.example"})

    blanks = {"email": "", "logoUrl": "", "primaryColor": "", "domain": " ", "phoneNumber": ""}
    answer = await sanic_client.http.put(PATH, headers=headers, json=blanks)

    assert {name: answer.json()[name] for name in blanks} == dict.fromkeys(blanks)
    listed = await sanic_client.http.get("/admin/api/tenants", headers=await as_operator(sanic_client))
    assert {name: listed.json()["items"][0][name] for name in blanks} == dict.fromkeys(blanks)


NOT_THEIRS: list[dict[str, Any]] = [
    {"subscriptionPlan": "Enterprise"},
    {"usageQuota": 1000},
    {"slug": "other"},
    {"otpDeliveryMethod": "sms"},
    {"name": ""},
    {"name": None},
    {"email": "nobody"},
    {"logoUrl": "javascript:alert(1)"},
    {"primaryColor": "#12345"},
]


async def test_what_is_not_the_tenants_to_say_is_refused(sanic_client: LiveServer) -> None:
    headers = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    before = await row_counts(sanic_client)
    findings = Findings()

    for wrong in NOT_THEIRS:
        answer = await sanic_client.http.put(PATH, headers=headers, json=wrong)
        found = (refusal(answer, "errors"), type(answer.json().get("detail")))
        findings.add(wrong, found, (invalid("body", *wrong), str))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_who_shows_no_session_of_a_tenant_is_refused(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    callers = {
        "nobody": {},
        "a session that is none": {"x-session-token": "nonsense"},
        "a device": device.headers,
        "an operator": await as_operator(sanic_client),
    }
    findings = Findings()

    for caller, headers in callers.items():
        for method in ("GET", "PUT"):
            answer = await sanic_client.http.request(method, PATH, headers=headers)
            found = (answer.status_code, type(answer.json().get("detail")))
            findings.add(f"{method} by {caller}", found, (401, str))

    assert findings.found == findings.expected


async def test_a_tenant_that_was_deleted_just_now_is_named_by_its_slug(sanic_client: LiveServer) -> None:
    live, tenant = sanic_client, await licensed(sanic_client)
    session = await authenticate(live.runtime, (await as_tenant(live, tenant.tenant_id))["x-session-token"])
    ctx = Context(live.runtime, session.actor, session=session)
    await delete_tenant(live.ctx, tenant.slug)

    for asked in (own_details(ctx), update_own_profile(ctx, {"name": "Other"})):
        with pytest.raises(TenantNotFoundError, match=f"with the slug {tenant.slug}"):
            await asked
