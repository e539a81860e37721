"""Plans: what devices ask is found by keys in tables of any size, whatever the server's planner would like better."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from sqlalchemy import Executable, insert, text
from support.live import LiveServer
from support.plans import plan_of as explained

from app.cursors import END
from sql.lists import code_list, device_list, project_list, tenant_list, tenant_relations
from sql.statements import licensing, run_progress, usage
from sql.tables import activation_codes, devices, plans, projects, runs, subscriptions, tenants

TENANTS = 1_000
DEVICES_EACH = 8


async def fill(live: LiveServer) -> list[dict[str, object]]:
    """So many that a planner thinks of reading the tenants whole; answers what some devices ask."""
    now = datetime.now(UTC)
    stamps = {"created_at": now, "updated_at": now}
    numbers = range(1, TENANTS + 1)
    async with live.ctx.write() as conn:
        await conn.affected(
            insert(plans), id=1_000_000, name="Big", stripe_price_id="big", monthly_run_quota=1, **stamps
        )
        await conn.insert_all(
            insert(tenants),
            [{"id": 9_000 + number, "name": "T", "slug": f"t-{number}", **stamps} for number in numbers],
        )
        await conn.insert_all(
            insert(subscriptions),
            [{"tenant_id": 9_000 + number, "plan_id": 1_000_000, "state": "active", **stamps} for number in numbers],
        )
        await conn.insert_all(
            insert(devices),
            [
                {
                    "id": 90_000 + TENANTS * place + number,
                    "tenant_id": 9_000 + number,
                    "hw_fingerprint": f"{place}",
                    "last_seen": now,
                    "created_at": now,
                }
                for place in range(DEVICES_EACH)
                for number in numbers
            ],
        )
        await conn.insert_all(
            insert(activation_codes),
            [
                {"tenant_id": 9_000 + number, "code_hash": b"%d" % number, "hint": "ABCD", "created_at": now}
                for number in numbers
            ],
        )
    async with live.ctx.write() as conn:
        await conn.affected(text("ANALYZE"))
    return [
        {"tenant_id": 9_000 + number, "device_id": 90_000 + number, "hw_fingerprint": "0"} for number in range(1, 33)
    ]


@pytest.mark.parametrize("statement", [licensing.device_standings, licensing.record_heartbeats])
async def test_a_batch_of_devices_is_looked_up_by_keys(sanic_client: LiveServer, statement: Executable) -> None:
    db = sanic_client.runtime.db
    batch = orjson.dumps(await fill(sanic_client)).decode()
    plan = await plan_of(sanic_client, statement, batch)
    # The few tenants that are being deleted, once for the whole batch.
    plan = plan.replace("SCAN tenants USING INDEX ix_tenants_deleted", "")

    for table in ("tenants", "devices", "subscriptions"):
        assert f"Seq Scan on {table}" not in plan, plan
        assert f"SCAN {table}" not in plan, plan
    wanted = "SEARCH devices USING INTEGER PRIMARY KEY" if db.is_sqlite else "using pk_devices on devices"
    assert wanted in plan, plan


async def test_a_request_of_many_events_is_read_once(sanic_client: LiveServer) -> None:
    plan = await plan_of(sanic_client, usage.insert_usage_events, "[]")

    assert ("MATERIALIZE admitted" if sanic_client.runtime.db.is_sqlite else "CTE admitted") in plan, plan


@pytest.mark.parametrize("name", ["codes_of_tenants", "devices_of_tenants", "counts_of_codes", "counts_of_devices"])
async def test_the_lists_of_many_tenants_are_looked_up_by_keys(sanic_client: LiveServer, name: str) -> None:
    await fill(sanic_client)
    lists = [{"place": place, "tenant_id": 9_001 + place, "before_id": END, "status": None} for place in range(25)]
    values = {"batch": orjson.dumps(lists).decode(), "page_size": 6, "now": sanic_client.ctx.now()}

    plan = await explained(sanic_client, getattr(tenant_relations, name), values)

    for table in ("activation_codes", "devices"):
        assert f"Seq Scan on {table}" not in plan, plan
        assert f"SCAN {table}" not in plan, plan


async def test_the_runs_of_many_projects_are_looked_up_by_keys(sanic_client: LiveServer) -> None:
    await fill(sanic_client)
    now = sanic_client.ctx.now()
    key = {"tenant_id": 9_001, "created_by": "tests", "created_at": now, "updated_at": now}
    run = {"tenant_id": 9_001, "state": "failed", "brief": "{}", "started_by": "tests", "reservation_id": 0}
    run |= {"started_at": now, "moved_at": now, "ended_at": now}
    numbers = range(1, 41)
    async with sanic_client.ctx.write() as conn:
        await conn.insert_all(
            insert(projects), [{**key, "id": number, "project_id": f"p-{number}", "name": "P"} for number in numbers]
        )
        await conn.insert_all(
            insert(runs), [{**run, "project_number": number} for number in numbers for _ in range(50)]
        )
    async with sanic_client.ctx.write() as conn:
        await conn.affected(text("ANALYZE"))
    lists = [
        {"place": place, "tenant_id": 9_001, "number": 1 + place, "state": None, "before_id": END}
        for place in range(10)
    ]
    values = {"batch": orjson.dumps(lists).decode(), "page_size": 6}

    plan = await explained(sanic_client, run_progress.runs_of_projects, values)

    assert "Seq Scan on runs" not in plan, plan
    assert "SCAN runs" not in plan, plan


@pytest.mark.postgresql_only("SQLite has no plans that are kept")
async def test_a_page_is_planned_once(sanic_client: LiveServer) -> None:
    await fill(sanic_client)
    month = sanic_client.ctx.month().as_parameters
    pages: dict[str, tuple[Executable, dict[str, Any]]] = {
        "tenants": (tenant_list.tenant_page("created_at", True, None, None), month),
        "codes": (code_list.code_page(False, None, False), {"now": sanic_client.ctx.now()}),
        "devices": (device_list.device_page(False, False, False), {}),
        "projects": (project_list.project_page(False, False), {}),
    }
    plans_made = (
        "SELECT custom_plans, generic_plans FROM pg_prepared_statements "
        "WHERE statement LIKE 'SELECT totals.total%' ORDER BY prepare_time"
    )
    async with sanic_client.ctx.read() as conn:
        for statement, values in pages.values():
            for _ in range(10):
                await conn.rows(statement, page_size=10, skip=0, **values)
        made = [tuple(row) for row in await conn.rows(text(plans_made))]

    # PostgreSQL looks five times whether the values matter.
    assert dict(zip(pages, made, strict=True)) == dict.fromkeys(pages, (5, 5))


async def plan_of(live: LiveServer, statement: Executable, batch: str) -> str:
    """What the database says that it will do."""
    db = live.runtime.db
    engine = db.reader if statement is licensing.device_standings else db.writer
    explain = "EXPLAIN QUERY PLAN " if db.is_sqlite else "EXPLAIN "

    async with engine.connect() as connection:
        compiled = statement.compile(dialect=engine.dialect)  # type: ignore[attr-defined]
        values = tuple({"batch": batch, "now": datetime.now(UTC)}[name] for name in compiled.positiontup)
        return "\n".join(str(row[-1]) for row in await connection.exec_driver_sql(explain + str(compiled), values))
