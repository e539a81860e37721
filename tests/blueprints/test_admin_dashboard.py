"""The dashboard: every figure is what counting the rows would give, whatever happened, and costs a constant number of
statements."""

from __future__ import annotations

import asyncio
import os
import random
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from support.admin import as_operator
from support.builders import Licensed, activate, activated, licensed, subscribe
from support.clocks import MovableClock
from support.counting import counted
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.rows import change, rows
from support.statements import counted_statements

from app.events import EventType
from app.services.billing.plans import ensure_plan
from app.services.billing.subscriptions import link_subscription
from app.services.licensing.codes import generate_codes, list_codes, revoke_code
from app.services.licensing.devices import revoke_device
from app.services.reports import analytics
from app.services.reports.dashboard import LOOKS
from app.services.upkeep.statistics import check_statistics, fold_statistics
from sql.tables import (
    activation_codes,
    devices,
    platform_events,
    statistics,
    statistics_changes,
    tenants,
)

STEPS = 300 if os.environ.get("PORTAL_PROOF") == "full" else 60
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns")


async def got(live: LiveServer, path: str, headers: dict[str, str] | None = None) -> Any:
    answer = await live.http.get(f"/admin/api/{path}", headers=headers or await as_operator(live, "read_only"))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def live_through(live: LiveServer, clock: MovableClock, chance: random.Random, steps: int) -> None:
    """Do things in any order, over some weeks."""
    for name in ("Starter", "Pro"):
        await ensure_plan(live.ctx, name=name, price_id=f"price_{name}", quota=chance.randint(1, 40))
    there: list[Licensed] = [await licensed(live, codes=4, max_uses=2) for _ in range(3)]
    for step in range(steps):
        clock.move(minutes=chance.randint(0, 1500))
        await one_thing(live, chance, there, f"hardware {step}")
    gone = there.pop(0)
    await change(live, delete(tenants).where(tenants.c.id == gone.tenant_id))


async def one_thing(live: LiveServer, chance: random.Random, there: list[Licensed], hardware: str) -> None:
    tenant = chance.choice(there)
    match chance.choice(["tenant", "codes", "device", "device", "device", "code off", "device off", "plan", "fold"]):
        case "tenant":
            there.append(await licensed(live, codes=2, ttl_days=chance.choice([None, 1, 20])))
        case "codes":
            uses = chance.randint(1, 2)
            tenant.codes.extend(
                await generate_codes(
                    live.ctx, tenant.slug, count=3, ttl_days=chance.choice([None, 1, 2, 9]), max_uses=uses
                )
            )
        case "device":
            await activate(live, tenant, hardware, chance.choice(tenant.codes))
        case "code off":
            found = await list_codes(live.ctx, tenant.slug)
            await revoke_code(live.ctx, tenant.slug, code_id=chance.choice(found).id)
        case "device off":
            mine = await rows(live, select(devices.c.id).where(devices.c.tenant_id == tenant.tenant_id))
            if mine:
                await revoke_device(live.ctx, tenant.slug, chance.choice(mine).id)
        case "plan":
            await link_subscription(
                live.ctx,
                tenant_slug=tenant.slug,
                plan_name=chance.choice(["Starter", "Pro", tenant.plan]),
                state=chance.choice(["active", "active", "trialing", "canceled"]),
            )
        case "fold":
            await fold_statistics(live.ctx)


async def agree(live: LiveServer, headers: dict[str, str]) -> None:
    """Every figure that is shown is the one that is counted."""
    expected = await counted(live)
    assert await got(live, "dashboard-stats", headers) == expected.stats()
    assert await got(live, "project-device-distribution", headers) == expected.distribution()
    for days in (7, 30, 365):
        shown = (await got(live, f"activation-trend?days={days}", headers))["trend"]
        assert all(day.pop("projects") == 0 for day in shown)
        assert [tuple(day.values()) for day in shown] == expected.created(days, revoked_too=False)
    for date_range, days in (("today", 0), ("7d", 7), ("30d", 30), ("90d", 90), ("1y", 365)):
        page = await got(live, f"analytics?date_range={date_range}", headers)
        page["usages"] = [tenant["usage"] for tenant in page.pop("tenantUsage")]
        page["subscriptionDistribution"] = {tuple(plan.values()) for plan in page["subscriptionDistribution"]}
        assert page == expected.analytics(days)


@pytest.mark.parametrize("zone", ZONES)
async def test_the_figures_are_what_counting_gives_whatever_happened(
    database: str, tmp_path: Path, clock: MovableClock, zone: str
) -> None:
    settings = settings_for(database, tmp_path, time_zone=zone)
    async with live_server(settings, clock) as live:
        headers = await as_operator(live, "read_only")
        await live_through(live, clock, random.Random(zone), STEPS)

        await agree(live, headers)
        assert (await check_statistics(live.ctx))["differences"] == 0
        await fold_statistics(live.ctx)
        await agree(live, headers)
        assert await rows(live, statistics_changes.select()) == []
        assert (await check_statistics(live.ctx))["differences"] == 0


async def test_an_empty_portal_has_figures_too(sanic_client: LiveServer) -> None:
    stats = await got(sanic_client, "dashboard-stats")

    still = {"value": 0.0, "direction": "up"}
    assert stats.pop("trends") == dict.fromkeys(("codes", "devices", "projects", "tenants", "successRate"), still)
    assert set(stats.values()) == {0}
    assert len(stats) == 12
    page = await got(sanic_client, "analytics")
    assert (page["tenantUsage"], page["subscriptionDistribution"]) == ([], [])
    assert page["summaryStats"] == {"totalRevenue": 0, "avgUsageRate": 0.0, "retentionRate": 0.0}
    assert await got(sanic_client, "recent-activities") == {"activities": []}


async def test_a_code_expires_at_its_moment_and_not_at_the_end_of_a_quarter(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    headers = await as_operator(sanic_client, "read_only")
    await licensed(sanic_client, codes=3, ttl_days=1)

    clock.move(days=1, seconds=-30)
    before = await got(sanic_client, "dashboard-stats", headers)
    clock.move(seconds=31)
    after = await got(sanic_client, "dashboard-stats", headers)
    clock.move(minutes=16)
    later = await got(sanic_client, "dashboard-stats", headers)

    shown = [(stats["activeCodes"], stats["expiredCodes"]) for stats in (before, after, later)]
    assert shown == [(3, 0), (0, 3), (0, 3)]


async def test_figures_are_exact_while_devices_activate_and_changes_are_folded(sanic_client: LiveServer) -> None:
    live, headers = sanic_client, await as_operator(sanic_client, "read_only")
    some = [await licensed(live, codes=1, max_uses=60) for _ in range(4)]

    async def fold_on() -> None:
        for _ in range(10):
            await asyncio.gather(fold_statistics(live.ctx), fold_statistics(live.ctx))
            stats = await got(live, "dashboard-stats", headers)
            assert 0 <= stats["activeDevices"] <= 200

    activating = (activate(live, some[number % 4], f"hardware {number}") for number in range(200))
    answers, _ = await asyncio.gather(asyncio.gather(*activating), fold_on())

    assert {answer.status_code for answer in answers} == {200}
    await agree(live, headers)
    await fold_statistics(live.ctx)
    await agree(live, headers)


async def test_what_is_rolled_back_was_never_counted(sanic_client: LiveServer) -> None:
    live = sanic_client
    await licensed(live)

    async def delete_and_fail() -> None:
        async with live.ctx.write() as conn:
            await conn.affected(delete(tenants))
            raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError, match="rolled back"):
        await delete_and_fail()

    assert (await got(live, "dashboard-stats"))["totalTenants"] == 1


async def test_the_check_finds_a_wrong_sum(sanic_client: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    await licensed(sanic_client, codes=3)
    await fold_statistics(sanic_client.ctx)
    wrong = update(statistics).where(statistics.c.metric == "codes_created", statistics.c.grain == 1)
    await change(sanic_client, wrong.values(value=statistics.c.value + 2))

    # The sum of a quarter itself, and the three larger ones that are not its sum any more.
    assert (await check_statistics(sanic_client.ctx))["differences"] == 4


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
        "analytics?date_range=1y": 6,
    }
    for number in (0, 12):
        for _ in range(number):
            await activated(sanic_client)
        for path, statements in most.items():
            with counted_statements(sanic_client.runtime.db) as seen:
                await got(sanic_client, path, headers)
            # One of them finds the token.
            assert len(seen) == statements + 1, (path, seen)


async def test_the_feed_shows_the_newest_events_with_icon_and_colour(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    for _ in range(12):
        await subscribe(sanic_client, device.tenant, "trialing")
        await subscribe(sanic_client, device.tenant, "active")

    feed = (await got(sanic_client, "recent-activities"))["activities"]

    assert len(feed) == 20
    assert [row["timestamp"] for row in feed] == sorted((row["timestamp"] for row in feed), reverse=True)
    newest = feed[0]
    assert set(newest) == {"type", "icon", "action", "tenant", "timestamp", "backdrop", "severity", "metadata"}
    assert (newest["icon"], newest["backdrop"]) == ("[EVENT]", "bg-gray-100 text-gray-600")
    assert (newest["tenant"], newest["severity"], newest["metadata"]["state"]) == ("tests", "major", "active")
    assert newest["timestamp"].endswith("Z")
    assert datetime.fromisoformat(newest["timestamp"]).tzinfo is not None


async def test_each_kind_of_event_has_its_look(sanic_client: LiveServer, clock: MovableClock) -> None:
    headers = await as_operator(sanic_client, "read_only")
    await activated(sanic_client)

    feed = (await got(sanic_client, "recent-activities?days=1", headers))["activities"]
    clock.move(days=2)
    later = (await got(sanic_client, "recent-activities?days=1", headers))["activities"]

    assert {row["type"]: (row["icon"], row["backdrop"]) for row in feed} == {
        "code_activated": ("[ACTIVE]", "bg-emerald-100 text-emerald-600"),
        "device_enrolled": ("[DEVICE]", "bg-emerald-100 text-emerald-600"),
        "code_generated": ("[CODE]", "bg-indigo-100 text-indigo-600"),
        "subscription_created": ("[EVENT]", "bg-gray-100 text-gray-600"),
        "tenant_created": ("[TENANT]", "bg-rose-100 text-rose-600"),
        "plan_created": ("[EVENT]", "bg-gray-100 text-gray-600"),
    }
    assert later == []
    assert len(LOOKS) == 16
    unrecorded = {"config_updated", "project_created", "project_updated", "project_deleted"}
    assert LOOKS.keys() - set(EventType) == unrecorded


async def test_an_event_without_an_actor_shows_its_tenant(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=1)
    name = (await rows(sanic_client, select(tenants.c.name).where(tenants.c.id == tenant.tenant_id)))[0].name
    await change(sanic_client, update(platform_events).values(actor_name=""))

    feed = (await got(sanic_client, "recent-activities"))["activities"]

    assert {row["type"]: row["tenant"] for row in feed}["code_generated"] == name
    assert {row["type"]: row["tenant"] for row in feed}["plan_created"] == "Unknown"


@pytest.mark.parametrize("chosen", ["latest", "top10", "project:p-1"])
async def test_a_filter_that_finds_no_project_leaves_no_tenant(sanic_client: LiveServer, chosen: str) -> None:
    headers = await as_operator(sanic_client, "read_only")
    await activated(sanic_client)

    filtered = await got(sanic_client, f"analytics?project_filter={chosen}", headers)
    anything = await got(sanic_client, "analytics?project_filter=whatever", headers)

    assert filtered["tenantUsage"] == []
    assert [row["usage"] for row in anything["tenantUsage"]] == [1]
    assert anything["tenantUsage"][0]["quota"] == 50


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("recent-activities?days=0", "days"),
        ("recent-activities?days=91", "days"),
        ("activation-trend?days=6", "days"),
        ("activation-trend?days=366", "days"),
        ("analytics?date_range=2d", "date_range"),
    ],
)
async def test_what_cannot_be_asked_names_the_field(sanic_client: LiveServer, path: str, field: str) -> None:
    answer = await sanic_client.http.get(f"/admin/api/{path}", headers=await as_operator(sanic_client, "read_only"))

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", field]


async def test_days_begin_at_midnight_of_the_installation(database: str, tmp_path: Path, clock: MovableClock) -> None:
    async with live_server(settings_for(database, tmp_path, time_zone="Asia/Kolkata"), clock) as live:
        headers = await as_operator(live, "read_only")
        now = clock.now().astimezone(live.runtime.zone)
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), live.runtime.zone)
        clock.move(seconds=(midnight - now).total_seconds() - 60)
        await licensed(live, codes=2)
        clock.move(seconds=120)
        await licensed(live, codes=5)

        shown = (await got(live, "analytics?date_range=7d", headers))["activationTrend"]

        assert [day["codes"] for day in shown[-2:]] == [2, 5]
        assert [day["date"] for day in shown[-2:]] == [f"{midnight - timedelta(hours=1):%b %d}", f"{midnight:%b %d}"]
        count = (await rows(live, select(func.count()).select_from(activation_codes)))[0][0]
        assert count == 7
