"""The migration that introduces kept figures counts what is there already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from alembic import command
from sqlalchemy import Connection, Table, TableClause, column, insert, table
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from support.databases import settings_for

from app.context import Actor, Context
from app.database import schema
from app.runtime import Runtime
from app.services.reports.dashboard import dashboard_stats
from app.services.tenants.tenant_list import list_tenants
from app.services.upkeep.statistics import check_statistics
from sql.tables import activation_codes, devices, plans, subscriptions, tenants

LONG_AGO = datetime(2025, 3, 1, 10, 7, 59, 999_900, tzinfo=UTC)


def _without_key(rows: Table) -> TableClause:
    """The table as it was before names had keys."""
    return table(rows.name, *(column(each.name, each.type) for each in rows.c if not each.name.startswith("folded_")))


def fill(connection: Connection) -> None:
    """Rows as they were before the figures."""
    command.upgrade(schema._config(connection), "0002")
    at = {"created_at": LONG_AGO, "updated_at": LONG_AGO}
    connection.execute(insert(plans), {"id": 1, "name": "P", "stripe_price_id": "p", "monthly_run_quota": 5, **at})
    for number in (1, 2, 3):
        connection.execute(insert(_without_key(tenants)), {"id": number, "name": "T", "slug": f"tenant-{number}", **at})
        state = "active" if number < 3 else "canceled"
        connection.execute(insert(subscriptions), {"tenant_id": number, "plan_id": 1, "state": state, **at})
        for day in range(10):
            moment = LONG_AGO + timedelta(days=day, minutes=7 * number)
            code = {
                "tenant_id": number,
                "code_hash": bytes([number, day]),
                "hint": "HINT",
                "use_count": day % 2,
                "created_at": moment,
                "used_at": moment if day % 2 else None,
                "expires_at": moment + timedelta(days=3) if day % 3 else None,
                "revoked_at": moment if day == 4 else None,
            }
            connection.execute(insert(_without_key(activation_codes)), code)
            device = {"tenant_id": number, "hw_fingerprint": f"{day}", "is_revoked": day == 5, "last_seen": moment}
            connection.execute(insert(_without_key(devices)), {**device, "created_at": moment})


async def test_what_was_there_before_is_counted(empty_database: str, tmp_path: Path) -> None:
    settings = settings_for(empty_database, tmp_path)
    engine = create_async_engine(settings.database, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(fill)
    await engine.dispose()
    await schema.upgrade(settings)
    runtime = Runtime(settings)
    try:
        ctx = Context(runtime, Actor("operator", "tests"))
        stats = await dashboard_stats(ctx)
        assert (await check_statistics(ctx))["differences"] == 0
        listed = {state: await list_tenants(ctx, status=state) for state in ("active", "canceled", "none")}
        by_usage = await list_tenants(ctx, sort_field="usage")
    finally:
        await runtime.close()

    assert (stats.total_tenants, stats.active_tenants) == (3, 2)
    shown = {state: [row.slug for row in page.tenants] for state, page in listed.items()}
    assert shown == {"active": ["tenant-2", "tenant-1"], "canceled": ["tenant-3"], "none": []}
    assert {state: page.total.total for state, page in listed.items()} == {"active": 2, "canceled": 1, "none": 0}
    assert [row.slug for row in by_usage.tenants] == ["tenant-3", "tenant-2", "tenant-1"]
    assert (stats.total_devices, stats.revoked_devices) == (30, 3)
    assert (stats.total_codes, stats.revoked_codes, stats.expired_codes) == (30, 3, 18)
    # Of the even days those that never expire.
    assert (stats.active_codes, stats.success_rate) == (6, 50.0)
