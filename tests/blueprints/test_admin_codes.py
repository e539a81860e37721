"""Operators administer the codes and devices of all tenants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import insert, update
from support.admin import Admin, as_operator
from support.builders import activate, activated, licensed
from support.clocks import MovableClock
from support.live import LiveServer
from support.refusals import Findings, invalid, refusal
from support.rows import change, named, row_counts, told
from support.statements import counted_statements

from app.services.licensing.code_text import new_code
from app.services.upkeep.statistics import fold_statistics
from sql.tables import activation_codes, devices, tenants

CODE_KEYS = {
    "id",
    "code",
    "hint",
    "tenant",
    "tenantSlug",
    "label",
    "status",
    "expiresAt",
    "usedAt",
    "createdAt",
    "useCount",
    "maxUses",
}


@pytest.fixture
async def admin(sanic_client: LiveServer) -> Admin:
    """An operator."""
    return Admin(sanic_client, await as_operator(sanic_client, "operator"))


async def test_codes_are_made_and_shown_once(admin: Admin) -> None:
    tenant = await licensed(admin.live)

    answer = await admin.ask(
        "POST",
        "/codes/generate",
        json={"tenant_slug": tenant.slug, "count": 3, "ttl_days": 30, "label": "Fair", "max_uses": 2, "more": True},
    )

    assert (answer["success"], len(set(answer["codes"])), bool(answer["message"])) == (True, 3, True)
    listed = await admin.ask("GET", "/codes")
    assert listed.keys() == {"codes", "total", "total_is_capped", "page", "page_size", "total_pages"}
    assert (listed["total"], listed["page"], listed["page_size"], listed["total_pages"]) == (4, 1, 25, 1)
    newest = listed["codes"][0]
    assert newest.keys() == CODE_KEYS
    assert {name: newest[name] for name in CODE_KEYS - {"id", "createdAt", "expiresAt"}} == {
        "code": None,
        "hint": answer["codes"][-1][-4:],
        "tenant": newest["tenant"],
        "tenantSlug": tenant.slug,
        "label": "Fair",
        "status": "active",
        "usedAt": None,
        "useCount": 0,
        "maxUses": 2,
    }
    lasts = datetime.fromisoformat(newest["expiresAt"]) - datetime.fromisoformat(newest["createdAt"])
    assert lasts == timedelta(days=30)
    assert newest["expiresAt"].endswith("Z")
    event = (await told(admin.live, tenant.tenant_id))[-1]
    assert event.actor_type == "program"
    assert (event.event_type, event.actor_name, orjson.loads(event.metadata)["code_count"]) == (
        "code_generated",
        "token tests as operator",
        3,
    )


async def test_codes_expire_as_asked(admin: Admin) -> None:
    findings = Findings()
    cases: list[tuple[dict[str, Any], int | None]] = [({}, 365), ({"ttl_days": None}, None), ({"ttl_days": 0}, None)]
    for sent, days in cases:
        tenant = await licensed(admin.live)
        await admin.ask("POST", "/codes/generate", json={"tenant_slug": tenant.slug, **sent})
        newest = (await admin.ask("GET", "/codes", params={"tenant_slug": tenant.slug}))["codes"][0]
        ends = newest["expiresAt"] and datetime.fromisoformat(newest["expiresAt"])
        lasts = ends and ends - datetime.fromisoformat(newest["createdAt"])
        findings.add(sent, lasts, days and timedelta(days=days))

    assert findings.found == findings.expected


async def test_a_bound_is_kept(admin: Admin) -> None:
    tenant = await licensed(admin.live)
    before = await row_counts(admin.live)
    findings = Findings()
    for field, value in (
        ("count", 0),
        ("count", 101),
        ("ttl_days", 3651),
        ("ttl_days", -1),
        ("max_uses", 0),
        ("label", "l" * 256),
    ):
        body = {"tenant_slug": tenant.slug, field: value}
        answer = await admin.live.http.post("/admin/api/codes/generate", headers=admin.headers, json=body)
        found = (refusal(answer, "errors"), type(answer.json().get("detail")))
        findings.add(f"{field}={value}", found, (invalid("body", field), str))

    assert findings.found == findings.expected
    assert await row_counts(admin.live) == before


async def test_codes_for_nobody_are_refused(admin: Admin) -> None:
    answer = await admin.ask("POST", "/codes/generate", 404, json={"tenant_slug": "nobody"})

    assert isinstance(answer["detail"], str)


async def test_codes_are_found_by_the_status_they_show(admin: Admin) -> None:
    tenant = await licensed(admin.live, codes=5, max_uses=2)
    used, expired, revoked, revoked_and_used, active = (code[-4:] for code in tenant.codes)
    past = datetime.now(UTC) - timedelta(days=1)
    for hint, values in (
        (used, {"use_count": 2}),
        (expired, {"expires_at": past, "use_count": 2}),
        (revoked, {"revoked_at": past, "expires_at": past}),
        (revoked_and_used, {"revoked_at": past, "use_count": 2}),
    ):
        await change(admin.live, update(activation_codes).where(activation_codes.c.hint == hint).values(**values))

    found = {status: await admin.hints(status=status) for status in ("used", "expired", "revoked", "active")}

    assert found == {"used": [used], "expired": [expired], "revoked": [revoked_and_used, revoked], "active": [active]}
    assert len(await admin.hints(status="whatever")) == 5
    totals = {status: (await admin.ask("GET", "/codes", params={"status": status}))["total"] for status in found}
    assert totals == {"used": 1, "expired": 1, "revoked": 2, "active": 1}
    assert (await admin.ask("GET", "/codes", params={"status": "revoked"}))["total"] == 2


async def test_the_totals_of_the_statuses_follow_time_and_every_change(admin: Admin, clock: MovableClock) -> None:
    tenant = await licensed(admin.live, codes=4, ttl_days=1, max_uses=1)
    await licensed(admin.live, codes=2)
    await activated(admin.live, tenant)
    (revoked,) = [
        code["id"] for code in (await admin.ask("GET", "/codes"))["codes"] if code["hint"] == tenant.codes[3][-4:]
    ]
    await admin.ask("DELETE", f"/codes/{revoked}")

    async def totals() -> dict[str, int]:
        shown = {}
        for status in ("active", "used", "expired", "revoked"):
            page = await admin.ask("GET", "/codes", params={"status": status})
            assert page["total"] == len(page["codes"])
            shown[status] = page["total"]
        return shown

    seen = [await totals()]
    for seconds in (86_370, 31, 1000):
        clock.move(seconds=seconds)
        seen.append(await totals())
    await fold_statistics(admin.live.ctx)

    assert seen[:2] == [{"active": 4, "used": 1, "expired": 0, "revoked": 1}] * 2
    assert [*seen[2:], await totals()] == [{"active": 2, "used": 0, "expired": 3, "revoked": 1}] * 3


async def test_codes_are_found_by_hint_label_tenant_and_whole(admin: Admin) -> None:
    first, second = [await licensed(admin.live) for _ in range(2)]
    (labelled,) = (await admin.ask("POST", "/codes/generate", json={"tenant_slug": first.slug, "label": "50%_off"}))[
        "codes"
    ]
    await change(admin.live, update(tenants).where(tenants.c.id == second.tenant_id).values(**named("Zebra")))
    one, other = first.codes[0], second.codes[0]

    assert await admin.hints(search="%_OFF") == [labelled[-4:]]
    assert await admin.hints(search="zebra") == [other[-4:]]
    assert one[-4:] in await admin.hints(search=one[-4:].lower())
    assert await admin.hints(search=one.lower().replace("-", " ")) == [one[-4:]]
    assert await admin.hints(search=new_code()) == []
    assert await admin.hints(search=other, tenant_slug=first.slug) == []
    assert await admin.hints(search="ZEB", tenant_slug=second.slug) == [other[-4:]]
    assert await admin.hints(search="zebra", tenant_slug=first.slug) == []
    assert await admin.hints(tenant_slug=second.slug) == [other[-4:]]
    assert await admin.hints(tenant_slug="nobody") == []
    assert await admin.hints(tenant_slug=first.slug, search="off", status="active") == [labelled[-4:]]


async def test_codes_are_paged_in_the_sizes_on_offer(admin: Admin) -> None:
    tenant = await licensed(admin.live, codes=30)

    shown = {
        size: (await admin.ask("GET", "/codes", params={"page_size": size}))["page_size"]
        for size in (10, 25, 50, 100, 200, 33, 0, 1000)
    }
    pages = [await admin.ask("GET", "/codes", params={"page": page, "page_size": 10}) for page in (1, 2, 3, 4)]

    assert shown == {10: 10, 25: 25, 50: 50, 100: 100, 200: 200, 33: 25, 0: 25, 1000: 25}
    assert [code["hint"] for page in pages for code in page["codes"]] == [code[-4:] for code in reversed(tenant.codes)]
    assert (pages[0]["total"], pages[0]["total_pages"]) == (30, 3)
    await admin.ask("GET", "/codes", 422, params={"page": 0})


async def test_a_code_is_revoked_by_its_id_once(admin: Admin) -> None:
    tenant = await licensed(admin.live)
    code_id = (await admin.ask("GET", "/codes"))["codes"][0]["id"]

    for _ in range(2):
        assert (await admin.ask("DELETE", f"/codes/{code_id}"))["success"] is True
        events = [event for event in await told(admin.live, tenant.tenant_id) if event.event_type == "code_revoked"]
        assert [event.code_id for event in events] == [code_id]

    assert await admin.hints(status="revoked") == [tenant.codes[0][-4:]]
    assert (await activate(admin.live, tenant)).status_code == 400


async def test_what_is_not_there_cannot_be_revoked(admin: Admin) -> None:
    findings = Findings()
    for path in ("/codes/12345", "/devices/12345", f"/codes/{2**63}", f"/devices/{2**80}"):
        answer = await admin.live.http.delete(f"/admin/api{path}", headers=admin.headers)
        findings.add(path, (answer.status_code, type(answer.json().get("detail"))), (404, str))

    assert findings.found == findings.expected


async def test_a_page_takes_the_same_statements_whatever_is_on_it(admin: Admin) -> None:
    tenant = await licensed(admin.live)
    now = datetime.now(UTC)
    seen: dict[str, set[int]] = {}
    for wanted in (1, 50):
        counts = await row_counts(admin.live)
        codes = [
            {"tenant_id": tenant.tenant_id, "code_hash": b"%d" % number, "hint": "AAAA", "created_at": now}
            for number in range(counts["activation_codes"], wanted)
        ]
        hardware = [
            {"tenant_id": tenant.tenant_id, "hw_fingerprint": f"{number}", "last_seen": now, "created_at": now}
            for number in range(counts["devices"], wanted)
        ]
        async with admin.live.ctx.write() as conn:
            for table, fresh in ((activation_codes, codes), (devices, hardware)):
                if fresh:
                    await conn.insert_all(insert(table), fresh)
        for name in ("codes", "devices"):
            queries = [{}, {"tenant_slug": tenant.slug}, {"search": "tenant"}]
            queries += [{"status": "active"}] if name == "codes" else []
            for query in queries:
                with counted_statements(admin.live.runtime.db) as statements:
                    listed = await admin.ask("GET", f"/{name}", params={"page_size": 100, **query})
                assert (len(listed[name]), listed["total"]) == (wanted, wanted)
                seen.setdefault(f"{name} {sorted(query)}", set()).add(len(statements))

    # The token, the page with its total, and before it what is found, or what a status comes to.
    assert seen == {
        "codes []": {2},
        "codes ['tenant_slug']": {2},
        "codes ['search']": {3},
        "codes ['status']": {3},
        "devices []": {2},
        "devices ['tenant_slug']": {2},
        "devices ['search']": {3},
    }


async def test_a_page_behind_the_last_has_the_total_all_the_same(admin: Admin) -> None:
    tenant = await licensed(admin.live, codes=2, max_uses=2)
    for hardware in ("one", "two"):
        await activated(admin.live, tenant, hardware)

    for name in ("codes", "devices"):
        for query in ({}, {"tenant_slug": tenant.slug}, {"search": "tenant"}):
            behind = await admin.ask("GET", f"/{name}", params={"page": 9, **query})
            assert (behind[name], behind["total"]) == ([], 2), (name, query)


async def test_a_search_that_finds_many_is_capped_and_still_in_order(admin: Admin) -> None:
    tenant = await licensed(admin.live)
    now = datetime.now(UTC)
    whose = {"tenant_id": tenant.tenant_id, "label": "Many", "created_at": now}
    codes = [{**whose, "code_hash": b"%d" % number, "hint": f"{number % 10000:04}"} for number in range(10_001)]
    hardware = [{**whose, "hw_fingerprint": f"{number:05}", "last_seen": now} for number in range(10_001)]
    async with admin.live.ctx.write() as conn:
        await conn.insert_all(insert(activation_codes), codes)
        await conn.insert_all(insert(devices), hardware)

    for query in (
        {"search": "many"},
        {"search": "many", "tenant_slug": tenant.slug},
        {"search": "many", "status": "active"},
        {"tenant_slug": tenant.slug},
    ):
        found = await admin.ask("GET", "/codes", params={**query, "page_size": 10})
        assert (found["total"], found["total_is_capped"], found["total_pages"]) == (10_000, True, 1000)
        assert [code["hint"] for code in found["codes"]][:2] == ["0000", "9999"]
    for query in ({"search": "many"}, {"tenant_slug": tenant.slug}):
        found = await admin.ask("GET", "/devices", params=query)
        assert (found["total"], found["total_is_capped"]) == (10_000, True)
        assert found["devices"][0]["hwFingerprint"] == "10000"
    everything = [await admin.ask("GET", f"/{name}") for name in ("codes", "devices")]
    assert [(listed["total"], listed["total_is_capped"]) for listed in everything] == [(10_002, False), (10_001, False)]
