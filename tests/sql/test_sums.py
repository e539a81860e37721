"""Sums: exact as long as both databases can hold them, and then at their bound; and days that stood above theirs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import BigInteger, Connection, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from support.databases import settings_for
from support.live import LiveServer

from app.database import schema
from app.database.connections import as_batch
from sql.dialect import batch_rows
from sql.sums import MAX_DAY_QUANTITY, MAX_SUM, added, bounded, whole_sum

LARGEST = 2**63 - 1
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TENANT = (
    "INSERT INTO tenants (id, name, slug, created_at, updated_at, folded_name)"
    " VALUES (:id, :slug, :slug, :now, :now, :slug)"
)


@pytest.mark.parametrize(
    ("numbers", "total"),
    [
        ([], None),
        ([None], None),
        ([5, None, -7], -2),
        ([10**18 + 1, 10**18 + 2, -1], 2 * 10**18 + 2),
        ([-(10**9) - 1, 999_999_999, -1], -3),
        ([MAX_SUM - 1], MAX_SUM - 1),
        ([LARGEST] * 3, MAX_SUM),
        ([-LARGEST] * 3, -MAX_SUM),
        ([LARGEST, LARGEST, -LARGEST, 5 - LARGEST], 5),
    ],
)
async def test_a_sum_is_exact_or_at_its_bound(
    sanic_client: LiveServer, numbers: list[int | None], total: int | None
) -> None:
    numbered = batch_rows(number=BigInteger)
    async with sanic_client.ctx.read() as conn:
        batch = as_batch([{"number": number} for number in numbers])
        (row,) = await conn.rows(select(whole_sum(numbered.c.number)), batch=batch)

    assert (row[0], type(row[0])) == (total, type(total))


async def test_two_numbers_are_added_whatever_they_are(sanic_client: LiveServer) -> None:
    pairs = batch_rows(one=BigInteger, other=BigInteger)
    numbers = (0, 1, -1, MAX_SUM, -MAX_SUM, LARGEST, -LARGEST)
    both = [(one, other) for one in numbers for other in numbers]
    async with sanic_client.ctx.read() as conn:
        batch = as_batch([{"one": one, "other": other} for one, other in both])
        found = await conn.rows(select(added(pairs.c.one, pairs.c.other)), batch=batch)

    assert [row[0] for row in found] == [bounded(bounded(one) + bounded(other)) for one, other in both]


def fill(connection: Connection) -> None:
    """A tenant as it stood after it had been attacked, on SQLite with a day that is no whole number any more."""
    command.upgrade(schema._config(connection), "0017")
    is_sqlite = connection.dialect.name == "sqlite"
    values: dict[str, Any] = {"now": str(NOW.replace(tzinfo=None)) if is_sqlite else NOW}
    for tenant_id in (1, 2):
        values |= {"id": tenant_id, "slug": f"tenant-{tenant_id}", "large": 10**18 if tenant_id == 1 else 3}
        values |= {
            name: str(day) if is_sqlite else day
            for name, day in (("first", date(2020, 12, 1)), ("last", date(2020, 12, 31)), ("next", date(2021, 1, 1)))
        }
        for statement in (
            TENANT,
            "INSERT INTO usage_rollups (tenant_id, day, kind, quantity, events) VALUES (:id, :first, 'run', :large, 1)",
            "INSERT INTO usage_rollups (tenant_id, day, kind, quantity, events) VALUES (:id, :last, 'run', 4, 1)",
            "INSERT INTO usage_rollups (tenant_id, day, kind, quantity, events) VALUES (:id, :next, 'run', 5, 1)",
            "INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at) VALUES (:id, :first, :large, :now)",
            "INSERT INTO run_changes (tenant_id, month, runs) VALUES (:id, :first, 4)",
        ):
            connection.execute(text(statement), {key: values[key] for key in values if f":{key}" in statement})
    if is_sqlite:
        connection.execute(text("UPDATE usage_rollups SET quantity = 1e19 WHERE quantity > 10"))


def migrate(connection: Connection) -> list[list[tuple[int, int]]]:
    """The days, the months and what is not folded, after the migration has been taken back once."""
    for revision, move in (("0018", command.upgrade), ("0017", command.downgrade), ("0018", command.upgrade)):
        move(schema._config(connection), revision)
    read = (
        "SELECT tenant_id, quantity FROM usage_rollups ORDER BY tenant_id, quantity DESC",
        "SELECT tenant_id, runs FROM monthly_runs WHERE runs > 0 ORDER BY tenant_id",
        "SELECT tenant_id, runs FROM run_changes ORDER BY tenant_id",
    )
    return [[(row[0], row[1]) for row in connection.execute(text(statement))] for statement in read]


async def test_days_above_the_bound_are_set_to_it_and_their_months_follow(empty_database: str, tmp_path: Path) -> None:
    engine = create_async_engine(settings_for(empty_database, tmp_path).database, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(fill)
    async with engine.begin() as connection:
        days, months, changes = await connection.run_sync(migrate)
    await engine.dispose()

    assert days == [(1, MAX_DAY_QUANTITY), (1, 5), (1, 4), (2, 5), (2, 4), (2, 3)]
    assert months == [(1, MAX_DAY_QUANTITY + 4), (2, 3)]
    assert changes == [(2, 4)]
