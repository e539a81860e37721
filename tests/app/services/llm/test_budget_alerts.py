"""Alerts about budgets: each level of each cap once in its period, by the settlement that reaches it."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, update
from support.builders import licensed
from support.clocks import MovableClock, StandingClock
from support.live import LiveServer
from support.llm_usage import USD, set_settings, spend
from support.rows import change, rows
from support.statements import counted_statements

from app.calendar import months_later, start_of
from app.services.ledger.accounts import Owner, account_ids, money_accounts
from app.services.ledger.reservations import Hold, reserve
from app.services.ledger.settlements import Closing
from app.services.llm.budget_alerts import LEVELS, raise_budget_alerts
from app.services.llm.calls import owner_of_project
from app.services.llm.settlement import BUDGETS, close_abandoned_calls, settle_as
from app.services.llm.usage_log import Caller, details_of
from app.services.tenants.deletion import delete_tenant
from sql.tables import ledger_accounts, llm_alerts, llm_calls, plans, projects, system_settings

ALL = list(LEVELS)


@pytest.fixture
def clock() -> StandingClock:
    """In the middle of a month and of a day."""
    clock = StandingClock()
    middle = clock.now().replace(month=6, day=15, hour=12) + timedelta(days=365)
    clock.move(seconds=(middle - clock.now()).total_seconds())
    return clock


async def keys(live: LiveServer, prefix: str = "money:") -> list[str]:
    """Of which account, period and level alerts were raised, in their order."""
    found = [row.key for row in await rows(live, llm_alerts.select().order_by(llm_alerts.c.id))]
    return [key for key in found if key.startswith(prefix)]


async def percents(live: LiveServer, prefix: str = "money:") -> list[int]:
    return [int(key.rpartition(":")[2]) for key in await keys(live, prefix)]


async def project(live: LiveServer, tenant_id: int | None = None, **columns: Any) -> Owner:
    now, project_id = live.ctx.now(), f"project-{uuid.uuid4().hex[:8]}"
    row = {"project_id": project_id, "tenant_id": tenant_id, "name": "Shop", "created_by": "tests", **columns}
    await change(live, insert(projects).values(**row, created_at=now, updated_at=now))
    return await owner_of_project(live.ctx, project_id)


@pytest.mark.parametrize(
    ("cost", "levels"),
    [(0, []), (49_999_999_999, []), (50 * USD, [50]), (89 * USD, [50, 70, 80]), (100 * USD, ALL), (900 * USD, ALL)],
)
async def test_a_settlement_tells_of_each_level_that_it_reaches(
    sanic_client: LiveServer, clock: MovableClock, cost: int, levels: list[int]
) -> None:
    await set_settings(sanic_client, monthly_budget=100 * USD, daily_budget=10**6 * USD)

    await spend(sanic_client.ctx, cost)

    month = f"{clock.now():%Y-%m}-01"
    assert await keys(sanic_client) == [f"money:installation::month:{month}:{level}" for level in levels]
    assert await raise_budget_alerts(sanic_client.ctx) == {"raised": 0}
    assert len(await rows(sanic_client, llm_calls.select())) == 1


async def test_what_was_reached_before_is_not_told_again(sanic_client: LiveServer) -> None:
    await set_settings(sanic_client, monthly_budget=100 * USD, daily_budget=10**6 * USD)
    seen = []
    for cost in (40, 9, 1, 19, 1, 24, 1, 5):
        await spend(sanic_client.ctx, cost * USD)
        seen.append(await percents(sanic_client))
    assert seen == [[], [], ALL[:1], ALL[:1], ALL[:2], ALL[:4], ALL[:5], ALL]


async def test_fifty_settlements_at_once_tell_of_each_level_once(sanic_client: LiveServer) -> None:
    await set_settings(sanic_client, monthly_budget=100 * USD, daily_budget=50 * USD)

    await asyncio.gather(*(spend(sanic_client.ctx, USD) for _ in range(50)))

    assert sorted(await percents(sanic_client, "money:installation::day")) == ALL
    assert await percents(sanic_client, "money:installation::month") == [50]
    assert {row.settled for row in await rows(sanic_client, ledger_accounts.select())} == {50 * USD}
    assert len(await rows(sanic_client, llm_calls.select())) == 50


async def test_each_day_and_each_month_has_its_own_alerts(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    await set_settings(live, monthly_budget=10 * USD, daily_budget=2 * USD)
    first = live.ctx.today()
    for _ in range(3):
        await spend(live.ctx, USD)
        clock.move(days=1)
    assert await keys(live) == [f"money:installation::day:{first + timedelta(days=day)}:50" for day in range(3)]

    await spend(live.ctx, 2 * USD)
    assert (await keys(live))[3:] == [
        f"money:installation::month:{first:%Y-%m}-01:50",
        *(f"money:installation::day:{first + timedelta(days=3)}:{level}" for level in ALL),
    ]
    # At the first midnight of the next month nothing is spent.
    following = start_of(months_later(first.replace(day=1), 1), live.runtime.zone)
    clock.move(seconds=(following - clock.now()).total_seconds())
    assert await raise_budget_alerts(live.ctx) == {"raised": 0}
    await spend(live.ctx, 5 * USD)
    assert await percents(live, f"money:installation::month:{live.ctx.today()}") == [50]


async def test_tenants_and_projects_have_their_own(sanic_client: LiveServer) -> None:
    live = sanic_client
    one, other = await licensed(live), await licensed(live)
    await change(live, update(plans).where(plans.c.name == one.plan).values(monthly_llm_budget=4 * USD))
    shop = await project(live, one.tenant_id, monthly_budget_override=2 * USD)
    unlimited = await project(live, other.tenant_id)
    await set_settings(live, monthly_budget=10**6 * USD, daily_budget=10**6 * USD)

    for owner in (unlimited, shop):
        await spend(live.ctx, 2 * USD, owner)

    alerts = await rows(live, llm_alerts.select().order_by(llm_alerts.c.id))
    # The accounts are opened and locked in the order of their names.
    of_tenant = alerts[-1]
    assert [(alert.message, alert.level, alert.tenant_id, alert.project_id) for alert in (of_tenant, *alerts[:-1])] == [
        (f"50 % of the monthly budget of tenant {one.slug} is spent", "info", one.tenant_id, None),
        *(
            (
                f"{percent} % of the monthly budget of project {shop.project_id} is spent",
                LEVELS[percent],
                one.tenant_id,
                shop.project_id,
            )
            for percent in ALL
        ),
    ]
    month = f"{live.ctx.today():%Y-%m}"
    assert of_tenant.details == f"In {month} calls of this tenant have cost 2.00 of 4.00 USD."


async def test_a_cap_that_is_lowered_is_told_of_by_the_schedule(sanic_client: LiveServer) -> None:
    live = sanic_client
    await set_settings(live, monthly_budget=100 * USD, daily_budget=10**6 * USD)
    shop = await project(live, monthly_budget_override=100 * USD)
    await spend(live.ctx, 45 * USD, shop)
    assert await raise_budget_alerts(live.ctx) == {"raised": 0}

    await change(live, update(system_settings).values(monthly_budget=60 * USD))
    await change(live, update(projects).values(monthly_budget_override=50 * USD))
    raised = await asyncio.gather(*(raise_budget_alerts(live.ctx) for _ in range(6)))

    assert sum(int(str(one["raised"])) for one in raised) == 2 + 4
    assert await percents(live, "money:installation") == [50, 70]
    assert await percents(live, "money:project") == [50, 70, 80, 90]
    # Raised, and reached again: the same month is not told of the same level twice.
    await change(live, update(system_settings).values(monthly_budget=1000 * USD))
    await spend(live.ctx, 700 * USD)
    assert await percents(live, "money:installation") == [50, 70]


async def test_the_schedule_raises_whatever_number_there_is(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.llm.budget_alerts.AT_ONCE", 4)
    await set_settings(sanic_client, monthly_budget=10**6 * USD, daily_budget=10**6 * USD)
    for _ in range(3):
        await spend(sanic_client.ctx, USD, await project(sanic_client))
    await change(sanic_client, update(projects).values(monthly_budget_override=USD))

    assert await raise_budget_alerts(sanic_client.ctx) == {"raised": 18}
    assert await raise_budget_alerts(sanic_client.ctx) == {"raised": 0}


async def test_a_budget_of_zero_and_one_of_the_largest_size(sanic_client: LiveServer) -> None:
    largest = 1_000_000_000 * USD
    await set_settings(sanic_client, monthly_budget=largest, daily_budget=largest)
    await spend(sanic_client.ctx, largest // 2)
    assert await percents(sanic_client) == [50, 50]
    await change(sanic_client, update(system_settings).values(monthly_budget=largest // 10 * 8, daily_budget=0))
    # 62.5 % of the one, and nothing of the other.
    assert await raise_budget_alerts(sanic_client.ctx) == {"raised": 0}
    await change(sanic_client, update(system_settings).values(monthly_budget=largest // 10 * 7))
    assert await raise_budget_alerts(sanic_client.ctx) == {"raised": 1}


async def test_whose_tenant_or_project_is_gone_is_paid_and_not_told_of(sanic_client: LiveServer) -> None:
    live = sanic_client
    await set_settings(live, monthly_budget=10**6 * USD, daily_budget=10**6 * USD)
    tenant = await licensed(live)
    shop = await project(live, monthly_budget_override=USD)
    for owner in (Owner(tenant.tenant_id), shop):
        ids = await account_ids(live.ctx, money_accounts(owner, live.ctx.today()))
        hold = Hold(
            uuid.uuid4().hex,
            "money",
            0,
            ids,
            live.ctx.now(),
            details=details_of(Caller(owner, "coder"), "openai", "gpt-4o"),
        )
        reservation_id = await reserve(live.ctx, hold, BUDGETS)
        if owner is shop:
            await change(live, delete(projects).where(projects.c.project_id == shop.project_id))
        else:
            await delete_tenant(live.ctx, tenant.slug)
        assert len(await settle_as("gone")(live.ctx, [Closing(reservation_id, "settled", USD)])) == 1
    assert await keys(live) == []
    assert {row.settled for row in await rows(live, ledger_accounts.select())} == {USD, 2 * USD}


async def test_the_sweep_of_dead_calls_tells_as_well(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    await set_settings(live, monthly_budget=10 * USD, daily_budget=10**6 * USD)
    ids = await account_ids(live.ctx, money_accounts(Owner(), live.ctx.today()))
    details = details_of(Caller(Owner(), "coder"), "openai", "gpt-4o")
    hold = Hold(uuid.uuid4().hex, "money", 7 * USD, ids, live.ctx.now(), deadline=live.ctx.now(), details=details)
    await reserve(live.ctx, hold, BUDGETS)
    clock.move(seconds=1)
    assert await close_abandoned_calls(live.ctx) == {"unconfirmed": 1}
    assert await percents(live) == [50, 70]


async def test_what_is_released_reaches_nothing(sanic_client: LiveServer) -> None:
    live = sanic_client
    await set_settings(live, monthly_budget=10 * USD, daily_budget=10 * USD)
    ids = await account_ids(live.ctx, money_accounts(Owner(), live.ctx.today()))
    reservation_id = await reserve(live.ctx, Hold("r", "money", 10 * USD, ids, live.ctx.now()), BUDGETS)
    with counted_statements(live.runtime.db) as statements:
        await settle_as("cancelled")(live.ctx, [Closing(reservation_id, "released", 0)])
    assert await keys(live) == []
    # Closing, its entry, the accounts locked, the accounts moved: nothing is asked about alerts.
    assert len(statements) == 4
