"""Operators admit tenants and change them."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from support.admin import TENANT_KEYS, Admin, as_tenant, new_tenant
from support.builders import licensed
from support.refusals import Findings, invalid, refusal
from support.rows import row_counts, rows, told

from app.errors import DatabaseUnavailableError
from app.services.billing.plans import ensure_plan
from app.services.tenants import onboarding
from sql.tables import metadata, subscriptions


def standing(tenant: dict[str, Any]) -> tuple[str | None, str | None]:
    """A tenant's plan, and how it stands on it."""
    return tenant["subscription"]["planName"], tenant["subscription"]["status"]


async def test_a_new_tenant_has_a_subscription_codes_and_a_welcome(admin: Admin, plan: str) -> None:
    answer = await admin.ask(
        "POST",
        "/tenants",
        201,
        json=new_tenant(
            logoUrl="https://acme.example/logo.svg",
            primaryColor="#0a5",
            domain="acme.example",
            email="office@acme.example",
            phoneNumber="+49 30 1",
            otpDeliveryMethod="email",
        ),
    )

    codes = answer.pop("activationCodes")
    assert answer.keys() == TENANT_KEYS
    assert {key: answer[key] for key in TENANT_KEYS - {"id", "createdAt", "updatedAt"}} == {
        "name": "Acme",
        "slug": "acme",
        "logoUrl": "https://acme.example/logo.svg",
        "primaryColor": "#0a5",
        "domain": "acme.example",
        "email": "office@acme.example",
        "phoneNumber": "+49 30 1",
        "otpDeliveryMethod": "email",
        "usageQuota": 50,
        "usageCurrent": 0,
        "activationCodesTotal": 5,
        "activationCodesUsed": 0,
        "subscription": {
            "planName": "Pro",
            "status": "active",
            "monthlyRunQuota": 50,
            "monthlyRunQuotaOverride": None,
            "planMonthlyRunQuota": 50,
            "maxDevices": None,
            "maxDevicesOverride": None,
            "planMaxDevices": None,
        },
    }
    assert answer["createdAt"].endswith("Z")
    counts = await row_counts(admin.live)
    assert (counts["activation_codes"], counts["subscriptions"], counts["deliveries"]) == (5, 1, 1)
    assert [event.event_type for event in await told(admin.live, answer["id"])] == [
        "tenant_created",
        "subscription_created",
        "code_generated",
    ]
    assert {event.actor_name for event in await told(admin.live, answer["id"])} == {"token tests as owner"}
    assert (await admin.ask("GET", "/tenants/acme")) == answer
    body = {"tenant_slug": "acme", "hw_fingerprint": "hardware"}
    opened = [
        (await admin.live.http.post("/authz/activate", json={**body, "activation_code": code})).status_code
        for code in codes
    ]
    assert (opened, len(set(codes))) == ([200] * 5, 5)


async def test_the_first_codes_are_answered_again_to_who_lost_the_answer_and_kept_in_clear_nowhere(
    admin: Admin, plan: str
) -> None:
    headers = {**admin.headers, "idempotency-key": "acme-1"}

    first, again = [
        await admin.live.http.post("/admin/api/tenants", headers=headers, json=new_tenant(email="office@acme.example"))
        for _ in range(2)
    ]

    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    codes = first.json()["activationCodes"]
    stored = "".join([str(await rows(admin.live, table.select())) for table in metadata.tables.values()])
    assert len(codes) == 5
    assert [code for code in codes if code in stored] == []


async def test_a_plan_without_a_limit_gives_no_more_codes_than_the_largest_quota(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onboarding, "MAX_FIRST_CODES", 100)
    await ensure_plan(admin.live.ctx, name="Unlimited", price_id="price_unlimited", quota=2**31 - 1)

    answer = await admin.ask("POST", "/tenants", 201, json=new_tenant(plan="Unlimited"))

    assert (answer["activationCodesTotal"], len(answer["activationCodes"])) == (100, 100)


async def test_a_tenant_may_be_written_in_snake_case_and_with_blanks(admin: Admin, plan: str) -> None:
    answer = await admin.ask(
        "POST",
        "/tenants",
        201,
        json={
            "name": " Acme ",
            "slug": "acme",
            "subscription_plan": "Pro",
            "logo_url": "",
            "primary_color": " ",
            "phone_number": None,
            "email": "",
            "otp_delivery_method": None,
            "usage_quota": 7,
            "plan_id": 3,
        },
    )

    assert (answer["name"], answer["logoUrl"], answer["primaryColor"], answer["email"]) == ("Acme", None, None, None)
    assert (await row_counts(admin.live))["deliveries"] == 0


async def test_a_small_plan_gives_one_code(admin: Admin) -> None:
    await ensure_plan(admin.live.ctx, name="Tiny", price_id="price_tiny", quota=3)

    answer = await admin.ask("POST", "/tenants", 201, json=new_tenant(plan="Tiny"))

    assert answer["activationCodesTotal"] == 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"slug": "ab"}, "slug"),
    ({"slug": "acme_ltd"}, "slug"),
    ({"slug": "a--b"}, "slug"),
    ({"name": "  "}, "name"),
    ({"email": "nobody"}, "email"),
    ({"logoUrl": "acme/logo.svg"}, "logoUrl"),
    ({"logoUrl": "https://"}, "logoUrl"),
    ({"primaryColor": "red"}, "primaryColor"),
    ({"otpDeliveryMethod": "pigeon"}, "otpDeliveryMethod"),
    ({"usageQuota": -1}, "usageQuota"),
    ({"color": "#fff"}, "color"),
    ({"subscriptionPlan": None}, "subscriptionPlan"),
]


async def test_a_wrong_field_is_named(admin: Admin, plan: str) -> None:
    before = await row_counts(admin.live)
    findings = Findings()

    for wrong, field in WRONG:
        body = {**new_tenant(), **wrong}
        answer = await admin.live.http.post("/admin/api/tenants", headers=admin.headers, json=body)
        members = [set(problem) for problem in answer.json().get("detail", ())]
        findings.add(wrong, (refusal(answer), members), (invalid("body", field), [{"loc", "msg", "type"}]))

    assert findings.found == findings.expected
    assert await row_counts(admin.live) == before


async def test_what_is_wrong_with_a_field_is_said_in_words(admin: Admin, plan: str) -> None:
    answer = await admin.ask("POST", "/tenants", 422, json={**new_tenant(), "slug": "No Slug", "email": "nobody"})

    assert {problem["loc"][1]: problem["msg"] for problem in answer["detail"]} == {
        "slug": "must be lowercase letters or digits in words joined by single hyphens",
        "email": "is not an e-mail address",
    }


async def test_a_plan_that_is_not_there_is_named(admin: Admin) -> None:
    answer = await admin.ask("POST", "/tenants", 400, json=new_tenant(plan="Gold"))

    assert (answer["errorCode"], answer["plan"]) == ("plan_not_found", "Gold")
    assert "plan" in answer["detail"]


async def test_a_slug_is_given_once_however_many_ask_at_once(admin: Admin, plan: str) -> None:
    asking = [
        admin.live.http.post("/admin/api/tenants", headers=admin.headers, json=new_tenant(name=f"Acme {number}"))
        for number in range(12)
    ]

    answers = await asyncio.gather(*asking)

    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 11]
    refused = next(answer for answer in answers if answer.status_code == 409).json()
    assert refused["errorCode"] == "tenant_conflict"
    assert "slug" in refused["detail"]
    counts = await row_counts(admin.live)
    assert (counts["tenants"], counts["subscriptions"], counts["activation_codes"]) == (1, 1, 5)


async def test_the_longest_name_is_admitted_changed_and_deleted(admin: Admin, plan: str) -> None:
    await admin.ask("POST", "/tenants", 201, json=new_tenant(name="n" * 255))
    await admin.ask("PUT", "/tenants/acme", json={"name": "m" * 255})

    await admin.ask("DELETE", "/tenants/acme", 204)


async def test_a_change_is_told_with_what_was_there(admin: Admin, plan: str) -> None:
    created = await admin.ask("POST", "/tenants", 201, json=new_tenant(email="old@acme.example"))

    answer = await admin.ask(
        "PUT", "/tenants/acme", json={"name": "Acme Inc", "email": "new@acme.example", "primaryColor": "#00aa55"}
    )

    assert (answer["name"], answer["email"], answer["primaryColor"]) == ("Acme Inc", "new@acme.example", "#00aa55")
    assert answer["updatedAt"] > created["updatedAt"]
    event = (await told(admin.live, created["id"]))[-1]
    assert event.event_type == "tenant_updated"
    assert orjson.loads(event.metadata)["changes"] == {
        "name": {"from": "Acme", "to": "Acme Inc"},
        "email": {"from": "old@acme.example", "to": "new@acme.example"},
        "primary_color": {"from": None, "to": "#00aa55"},
    }


async def test_what_is_absent_stays_and_what_is_blank_is_cleared(admin: Admin, plan: str) -> None:
    await admin.ask("POST", "/tenants", 201, json=new_tenant(email="office@acme.example", domain="acme.example"))

    answer = await admin.ask("PUT", "/tenants/acme", json={"email": "", "logo_url": None})

    assert (answer["email"], answer["domain"], answer["logoUrl"]) == (None, "acme.example", None)


async def test_how_one_time_passwords_are_sent_is_seen_and_changed(admin: Admin, plan: str) -> None:
    await admin.ask("POST", "/tenants", 201, json=new_tenant(slug="acme", email="office@acme.example"))

    refused = await admin.ask("PUT", "/tenants/acme", 422, json={"otpDeliveryMethod": "sms"})
    changed = await admin.ask("PUT", "/tenants/acme", json={"otpDeliveryMethod": " sms ", "phoneNumber": "+49 30 1"})

    assert refused["errors"][0]["msg"] == "needs the tenant's phone number"
    assert changed["otpDeliveryMethod"] == "sms"
    (listed,) = (await admin.ask("GET", "/tenants"))["items"]
    assert listed["otpDeliveryMethod"] == "sms"
    session = await as_tenant(admin.live, changed["id"])
    own = await admin.live.http.get("/api/tenant/profile", headers=session)
    assert own.json()["otpDeliveryMethod"] == "sms"
    event = (await told(admin.live, changed["id"]))[-1]
    assert orjson.loads(event.metadata)["changes"]["otp_delivery_method"] == {"from": "email", "to": "sms"}
    # What is left unsaid stays as it is, also where nothing could be sent any more by another change.
    assert (await admin.ask("PUT", "/tenants/acme", json={"phoneNumber": ""}))["otpDeliveryMethod"] == "sms"


async def test_a_change_to_the_same_writes_nothing(admin: Admin, plan: str) -> None:
    created = await admin.created()
    before = await row_counts(admin.live)

    answer = await admin.ask("PUT", "/tenants/acme", json={"name": "Acme", "subscriptionPlan": "Pro", "usageQuota": 99})

    assert answer == created
    assert await row_counts(admin.live) == before


async def test_what_cannot_be_cleared_or_changed_is_refused(admin: Admin, plan: str) -> None:
    await admin.admit("acme")
    before = await row_counts(admin.live)
    findings = Findings()

    for field, value in (("name", None), ("name", ""), ("slug", "other"), ("subscriptionPlan", "")):
        answer = await admin.live.http.put("/admin/api/tenants/acme", headers=admin.headers, json={field: value})
        findings.add(f"{field}: {value!r}", refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(admin.live) == before


async def test_a_plan_change_keeps_the_state(admin: Admin) -> None:
    tenant = await licensed(admin.live, state="past_due")
    await ensure_plan(admin.live.ctx, name="Enterprise", price_id="price_enterprise", quota=200)

    answer = await admin.ask("PUT", f"/tenants/{tenant.slug}", json={"subscriptionPlan": "Enterprise"})

    assert (standing(answer), answer["usageQuota"]) == (("Enterprise", "past_due"), 200)
    assert (await told(admin.live, tenant.tenant_id))[-1].event_type == "subscription_updated"


async def test_a_plan_for_who_has_none_is_an_active_subscription(admin: Admin, plan: str) -> None:
    tenant = await licensed(admin.live, state=None)
    before = await admin.ask("GET", f"/tenants/{tenant.slug}")

    answer = await admin.ask("PUT", f"/tenants/{tenant.slug}", json={"subscriptionPlan": plan})

    assert (standing(before), before["usageQuota"]) == ((None, None), 0)
    assert standing(answer) == ("Pro", "active")


async def test_plans_set_at_once_leave_one_current_subscription(admin: Admin, plan: str) -> None:
    tenant = await licensed(admin.live, state=None)
    path = f"/admin/api/tenants/{tenant.slug}"

    answers = await asyncio.gather(
        *(
            admin.live.http.put(path, headers=admin.headers, json={"subscriptionPlan": name})
            for name in (plan, tenant.plan) * 4
        )
    )

    assert {answer.status_code for answer in answers} == {200}
    (current,) = await rows(admin.live, subscriptions.select().where(subscriptions.c.ended_at.is_(None)))
    assert (current.tenant_id, current.state) == (tenant.tenant_id, "active")


async def test_an_unknown_plan_changes_nothing(admin: Admin, plan: str) -> None:
    created = await admin.created()

    answer = await admin.ask("PUT", "/tenants/acme", 400, json={"name": "Other", "subscriptionPlan": "Gold"})

    assert answer["plan"] == "Gold"
    assert await admin.ask("GET", "/tenants/acme") == created


async def test_nobody_is_not_found(admin: Admin) -> None:
    findings = Findings()
    for method, rest in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/deletion-impact")):
        answer = await admin.live.http.request(
            method,
            f"/admin/api/tenants/nobody{rest}",
            headers=admin.headers,
            json={} if method == "PUT" else None,
        )
        found = (refusal(answer), type(answer.json().get("detail")))
        findings.add(f"{method} {rest}", found, ((404, "tenant_not_found", []), str))

    assert findings.found == findings.expected


async def test_a_tenants_first_codes_are_answered_whatever_cannot_be_asked_afterwards(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_plan(admin.live.ctx, name="Small", price_id="price_small", quota=20)

    def away() -> None:
        raise DatabaseUnavailableError

    monkeypatch.setattr(admin.live.runtime.db, "read", away)
    fields = {"name": "Acme", "slug": "acme", "email": "it@acme.example", "otp_delivery_method": "email"}
    made = await onboarding.create_tenant(admin.live.ctx, plan_name="Small", **fields)

    assert (len(made.codes), made.details.codes_total, made.details.plan_name) == (2, 2, "Small")
