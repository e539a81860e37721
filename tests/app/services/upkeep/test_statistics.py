"""The figures that the database keeps: what counting gives, whatever happened, folded or not."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from support.admin import answer_of, as_operator, as_tenant
from support.builders import Licensed, activate, licensed
from support.clocks import MovableClock
from support.counting import counted
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.projects import LLM_PLACE, assign, create
from support.rows import change, rows

from app.services.billing.plans import ensure_plan
from app.services.billing.subscriptions import link_subscription
from app.services.figures.sums import ALL_TIME, read_figures
from app.services.licensing.code_list import list_codes
from app.services.licensing.codes import generate_codes, revoke_code
from app.services.licensing.devices import revoke_device
from app.services.upkeep.statistics import check_statistics, fold_statistics
from sql.tables import (
    devices,
    learned_templates,
    projects,
    statistics,
    statistics_changes,
    tenants,
)

STEPS = 300 if os.environ.get("PORTAL_PROOF") == "full" else 60


ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns")


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
    match chance.choice(
        ["tenant", "codes", "device", "device", "device", "code off", "device off", "plan", "project", "fold"]
    ):
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
            found = (await list_codes(live.ctx, tenant_slug=tenant.slug)).rows
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
        case "project":
            await something_with_a_project(live, chance, tenant)
        case "fold":
            await fold_statistics(live.ctx)


async def something_with_a_project(live: LiveServer, chance: random.Random, tenant: Licensed) -> None:
    """A new one, which may get a code or not, or one that is switched or goes."""
    mine = await as_tenant(live, tenant.tenant_id)
    if chance.random() < 0.6:
        made = await create(live, mine)
        if made.status_code == 201 and chance.random() < 0.5:
            await assign(live, mine, made.json()["projectId"], chance.choice(tenant.codes))
        return
    found = await rows(live, select(projects.c.project_id, projects.c.is_active))
    if found:
        one, headers = chance.choice(found), await as_operator(live)
        path = f"{LLM_PLACE}/{one.project_id}"
        if chance.random() < 0.7:
            await live.http.put(path, headers=headers, json={"isActive": not one.is_active})
        else:
            await live.http.delete(path, headers=headers)


async def agree(live: LiveServer, headers: dict[str, str]) -> None:
    """Every figure that is shown is the one that is counted."""
    expected = await counted(live)
    assert await answer_of(live, "dashboard-stats", headers) == expected.stats()
    assert await answer_of(live, "project-device-distribution", headers) == expected.distribution()
    for days in (7, 30, 365):
        shown = (await answer_of(live, f"activation-trend?days={days}", headers))["trend"]
        assert [day.pop("projects") for day in shown] == expected.with_code(days)
        assert [tuple(day.values()) for day in shown] == expected.created(days, revoked_too=False)
    for date_range, days in (("today", 0), ("7d", 7), ("30d", 30), ("90d", 90), ("1y", 365)):
        page = await answer_of(live, f"analytics?date_range={date_range}", headers)
        page["usages"] = [tenant["usage"] for tenant in page.pop("tenantUsage")]
        page["subscriptionDistribution"] = {tuple(plan.values()) for plan in page["subscriptionDistribution"]}
        assert page == expected.analytics(days)
    for chosen in ("latest", "top10", *(f"project:{project.project_id}" for project in expected.projects[:3])):
        usages = (await answer_of(live, f"analytics?project_filter={chosen}", headers))["tenantUsage"]
        assert [tuple(tenant.values()) for tenant in usages] == expected.project_usages(chosen)


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


async def test_figures_are_exact_while_devices_activate_and_changes_are_folded(sanic_client: LiveServer) -> None:
    live, headers = sanic_client, await as_operator(sanic_client, "read_only")
    some = [await licensed(live, codes=1, max_uses=60) for _ in range(4)]

    async def fold_on() -> None:
        for _ in range(10):
            await asyncio.gather(fold_statistics(live.ctx), fold_statistics(live.ctx))
            stats = await answer_of(live, "dashboard-stats", headers)
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

    assert (await answer_of(live, "dashboard-stats"))["totalTenants"] == 1


async def test_the_check_finds_a_wrong_sum(sanic_client: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    await licensed(sanic_client, codes=3)
    await fold_statistics(sanic_client.ctx)
    wrong = update(statistics).where(statistics.c.metric == "codes_created", statistics.c.grain == 1)
    await change(sanic_client, wrong.values(value=statistics.c.value + 2))

    # The sum of a quarter itself, and the three larger ones that are not its sum any more.
    assert (await check_statistics(sanic_client.ctx))["differences"] == 4


async def test_learned_templates_are_counted_and_their_amounts_added_up(sanic_client: LiveServer) -> None:
    live, now = sanic_client, sanic_client.ctx.now()
    for place, uses in enumerate((2, 5)):
        text = {"name": "t", "description": "", "task_pattern": "p", "template_content": "c", "source_llm": "m"}
        row = {**text, "quality_score": 0.5, "parameters": "[]", "created_at": now, "cost_saved": 10**12}
        keys = {"template_id": f"t{place}", "pattern_signature": f"{place}", "usage_count": uses}
        await change(live, learned_templates.insert().values(**row, **keys))

    async def figures() -> dict[str, int]:
        asked = [(metric, ALL_TIME) for metric in ("templates_created", "templates_uses", "templates_saved")]
        async with live.ctx.read() as conn:
            found = await read_figures(conn, asked)
        assert (await check_statistics(live.ctx))["differences"] == 0
        return {metric: found.of(metric) for metric, _ in asked}

    assert await figures() == {"templates_created": 2, "templates_uses": 7, "templates_saved": 2 * 10**12}
    await fold_statistics(live.ctx)
    used = update(learned_templates).where(learned_templates.c.template_id == "t0")
    await change(live, used.values(usage_count=learned_templates.c.usage_count + 1, cost_saved=1))
    assert await figures() == {"templates_created": 2, "templates_uses": 8, "templates_saved": 10**12 + 1}
    await change(live, delete(learned_templates))
    assert set((await figures()).values()) == {0}


@pytest.mark.parametrize("metric", ["projects_created", "projects_active", "projects_with_code", "templates_uses"])
async def test_the_check_finds_a_figure_without_its_rows(sanic_client: LiveServer, metric: str) -> None:
    wrong = {"metric": metric, "dimension": "", "bucket": 0, "change": 3}
    await change(sanic_client, statistics_changes.insert().values(**wrong))

    assert (await check_statistics(sanic_client.ctx))["differences"] == 1
