"""The dashboard: every figure is what counting the rows would give, whatever happened, and costs a constant number of
statements."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from support.admin import answer_of, as_operator
from support.builders import activated, licensed, subscribe
from support.clocks import MovableClock
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.projects import created
from support.refusals import Findings, invalid, refusal
from support.rows import change, rows
from support.statements import counted_statements

from app.events import EventType
from app.services.licensing.codes import generate_codes
from app.services.reports import analytics
from app.services.reports.dashboard import LOOKS
from sql.tables import (
    activation_codes,
    devices,
    platform_events,
    tenants,
)

# Of an activity, beside what it says.
SHOWN = ("backdrop", "severity", "metadata")


async def tenant_name(live: LiveServer, tenant_id: int) -> str:
    """The tenant's name, as it is stored."""
    return str((await rows(live, select(tenants.c.name).where(tenants.c.id == tenant_id)))[0].name)


async def test_an_empty_portal_has_figures_too(sanic_client: LiveServer) -> None:
    stats = await answer_of(sanic_client, "dashboard-stats")

    still = {"value": 0.0, "direction": "up"}
    assert stats.pop("trends") == dict.fromkeys(("codes", "devices", "projects", "tenants", "successRate"), still)
    assert set(stats.values()) == {0}
    assert len(stats) == 12
    page = await answer_of(sanic_client, "analytics")
    assert (page["tenantUsage"], page["subscriptionDistribution"]) == ([], [])
    assert page["summaryStats"] == {
        "totalRevenue": 0,
        "currency": "usd",
        "avgUsageRate": 0.0,
        "retentionRate": 0.0,
    }
    assert await answer_of(sanic_client, "recent-activities") == {"activities": []}


async def test_a_code_expires_at_its_moment_and_not_at_the_end_of_a_quarter(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    headers = await as_operator(sanic_client, "read_only")
    await licensed(sanic_client, codes=3, ttl_days=1)

    clock.move(days=1, seconds=-30)
    before = await answer_of(sanic_client, "dashboard-stats", headers)
    clock.move(seconds=31)
    after = await answer_of(sanic_client, "dashboard-stats", headers)
    clock.move(minutes=16)
    later = await answer_of(sanic_client, "dashboard-stats", headers)

    shown = [(stats["activeCodes"], stats["expiredCodes"]) for stats in (before, after, later)]
    assert shown == [(3, 0), (0, 3), (0, 3)]


async def test_the_number_of_statements_does_not_grow(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is, nothing is remembered.
    monkeypatch.setattr(analytics, "QUICK_SECONDS", 60.0)
    headers = await as_operator(sanic_client, "read_only")
    most = {
        "dashboard-stats": 1,
        "recent-activities?days=90": 1,
        "activation-trend?days=365": 1,
        "project-device-distribution": 1,
        "analytics?date_range=1y": 9,
        "analytics?project_filter=top10": 9,
        "analytics?project_filter=project:hat-shop": 9,
    }
    for number in (0, 12):
        for _ in range(number):
            await created(sanic_client, (await activated(sanic_client)).tenant)
        for path, statements in most.items():
            with counted_statements(sanic_client.runtime.db) as seen:
                await answer_of(sanic_client, path, headers)
            # One of them finds the token.
            assert len(seen) == statements + 1, (path, seen)


async def test_the_feed_shows_the_newest_events_with_icon_and_colour(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    for _ in range(12):
        await subscribe(sanic_client, device.tenant, "trialing")
        await subscribe(sanic_client, device.tenant, "active")

    feed = (await answer_of(sanic_client, "recent-activities"))["activities"]

    assert len(feed) == 20
    assert [row["timestamp"] for row in feed] == sorted((row["timestamp"] for row in feed), reverse=True)
    newest = feed[0]
    assert set(newest) == {"type", "icon", "action", "tenant", "actor", "timestamp", *SHOWN}
    assert (newest["icon"], newest["backdrop"]) == ("[EVENT]", "bg-gray-100 text-gray-600")
    name = await tenant_name(sanic_client, device.tenant.tenant_id)
    assert (newest["tenant"], newest["actor"]) == (name, "tests")
    assert (newest["severity"], newest["metadata"]["state"]) == ("major", "active")
    assert newest["timestamp"].endswith("Z")
    assert datetime.fromisoformat(newest["timestamp"]).tzinfo is not None


async def test_each_kind_of_event_has_its_look(sanic_client: LiveServer, clock: MovableClock) -> None:
    headers = await as_operator(sanic_client, "read_only")
    await activated(sanic_client)

    feed = (await answer_of(sanic_client, "recent-activities?days=1", headers))["activities"]
    clock.move(days=2)
    later = (await answer_of(sanic_client, "recent-activities?days=1", headers))["activities"]

    assert {row["type"]: (row["icon"], row["backdrop"]) for row in feed} == {
        "code_activated": ("[ACTIVE]", "bg-emerald-100 text-emerald-600"),
        "device_enrolled": ("[DEVICE]", "bg-emerald-100 text-emerald-600"),
        "code_generated": ("[CODE]", "bg-indigo-100 text-indigo-600"),
        "subscription_created": ("[EVENT]", "bg-gray-100 text-gray-600"),
        "tenant_created": ("[TENANT]", "bg-rose-100 text-rose-600"),
        "plan_created": ("[EVENT]", "bg-gray-100 text-gray-600"),
    }
    assert later == []
    assert len(LOOKS) == 27
    assert LOOKS.keys() <= set(EventType)


async def test_an_event_shows_its_tenant_and_one_of_nobodys_its_actor(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=1)
    name = await tenant_name(sanic_client, tenant.tenant_id)

    feed = (await answer_of(sanic_client, "recent-activities"))["activities"]
    await change(sanic_client, update(platform_events).values(actor_name=""))
    without = (await answer_of(sanic_client, "recent-activities"))["activities"]

    assert {row["type"]: row["tenant"] for row in feed}["code_generated"] == name
    assert {row["type"]: row["tenant"] for row in feed}["plan_created"] == "tests"
    assert {row["type"]: row["tenant"] for row in without}["plan_created"] == "Unknown"


async def test_what_happened_to_a_device_names_its_tenant_and_its_label(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    (code,) = await generate_codes(sanic_client.ctx, tenant.slug, label="Reception")
    unlabelled = await activated(sanic_client, tenant, "first")
    labelled = await activated(sanic_client, tenant, "second", code=code)
    await change(sanic_client, update(devices).where(devices.c.id == labelled.device_id).values(label="PC 2"))
    name = await tenant_name(sanic_client, tenant.tenant_id)

    feed = (await answer_of(sanic_client, "recent-activities"))["activities"]

    actions = [row["action"] for row in feed if row["type"] in {"code_activated", "device_enrolled"}]
    assert sorted(actions) == sorted(
        [
            f"Code …{tenant.codes[0][-4:]} activated device {unlabelled.device_id} for {name}",
            f"Device {unlabelled.device_id} enrolled for {name}",
            f"Code …{code[-4:]} activated device {labelled.device_id} for {name} (PC 2)",
            f"Device {labelled.device_id} enrolled for {name} (PC 2)",
        ]
    )
    await change(sanic_client, update(devices).values(label=None))
    feed = (await answer_of(sanic_client, "recent-activities"))["activities"]
    assert f"Device {labelled.device_id} enrolled for {name} (Reception)" in [row["action"] for row in feed]
    assert {row["tenant"] for row in feed if row["type"] in {"code_activated", "device_enrolled"}} == {name}


async def test_a_filter_shows_tenants_by_their_chosen_projects(sanic_client: LiveServer, clock: MovableClock) -> None:
    headers = await as_operator(sanic_client, "read_only")
    few, many = [await licensed(sanic_client, quota=quota) for quota in (10, 20)]
    ended = await licensed(sanic_client)
    names = {row.id: row.name for row in await rows(sanic_client, select(tenants))}
    # The first is the eleventh newest, the last of those is of a tenant without an active subscription.
    for tenant, number in ((few, 1), (many, 6), (few, 3), (ended, 1)):
        for _ in range(number):
            await created(sanic_client, tenant, "Shop")
            clock.move(seconds=1)
    await subscribe(sanic_client, ended, "canceled")

    async def shown(chosen: str) -> list[tuple[str, int, int]]:
        page = await answer_of(sanic_client, f"analytics?project_filter={chosen}", headers)
        return [tuple(row.values()) for row in page["tenantUsage"]]

    fewer, more = names[few.tenant_id], names[many.tenant_id]
    assert await shown("top10") == [(more, 6, 20), (fewer, 3, 10)]
    assert await shown("latest") == []
    assert await shown("project:shop") == [(fewer, 1, 10)]
    assert await shown("project:shop_001") == [(more, 1, 20)]
    assert await shown("project:") == []
    await created(sanic_client, many, "Shop")
    assert await shown("latest") == [(more, 1, 20)]


async def test_a_filter_that_finds_no_project_leaves_no_tenant(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "read_only")
    await activated(sanic_client)

    filters = ("latest", "top10", "project:p-1")
    usages = {
        chosen: (await answer_of(sanic_client, f"analytics?project_filter={chosen}", headers))["tenantUsage"]
        for chosen in filters
    }
    anything = await answer_of(sanic_client, "analytics?project_filter=whatever", headers)

    assert usages == {chosen: [] for chosen in filters}
    assert [row["usage"] for row in anything["tenantUsage"]] == [1]
    assert anything["tenantUsage"][0]["quota"] == 50


WRONG_QUERIES = [
    ("recent-activities?days=0", "days"),
    ("recent-activities?days=91", "days"),
    ("activation-trend?days=6", "days"),
    ("activation-trend?days=366", "days"),
    ("analytics?date_range=2d", "date_range"),
]


async def test_what_cannot_be_asked_names_the_field(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "read_only")
    findings = Findings()

    for path, field in WRONG_QUERIES:
        answer = await sanic_client.http.get(f"/admin/api/{path}", headers=headers)
        findings.add(path, refusal(answer), invalid("query", field))

    assert findings.found == findings.expected


async def test_days_begin_at_midnight_of_the_installation(database: str, tmp_path: Path, clock: MovableClock) -> None:
    async with live_server(settings_for(database, tmp_path, time_zone="Asia/Kolkata"), clock) as live:
        headers = await as_operator(live, "read_only")
        now = clock.now().astimezone(live.runtime.zone)
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), live.runtime.zone)
        clock.move(seconds=(midnight - now).total_seconds() - 60)
        await licensed(live, codes=2)
        clock.move(seconds=120)
        await licensed(live, codes=5)

        shown = (await answer_of(live, "analytics?date_range=7d", headers))["activationTrend"]

        assert [day["codes"] for day in shown[-2:]] == [2, 5]
        assert [day["date"] for day in shown[-2:]] == [f"{midnight - timedelta(hours=1):%b %d}", f"{midnight:%b %d}"]
        count = (await rows(live, select(func.count()).select_from(activation_codes)))[0][0]
        assert count == 7
