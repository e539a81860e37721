"""A row that somebody keeps locked: its tenant is told to try again, and no other tenant waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from httpx2 import Response
from sqlalchemy import ColumnElement, Table, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from support.builders import Activated, activate, activated, licensed, refresh, report, run_event
from support.live import LiveServer, live_server
from support.rows import change
from support.statements import counted_statements

from app.errors import DatabaseUnavailableError, RowLockedError
from app.services.licensing.idle_seats import free_idle_seats
from app.settings import Settings
from sql.tables import devices, plans, refresh_families, subscriptions, usage_rollups
from sql.tables import tenants as tenants_table

pytestmark = pytest.mark.postgresql_only("SQLite has one writer: nobody waits for a row")


@pytest.fixture
async def live(settings: Settings) -> AsyncIterator[LiveServer]:
    """A server whose changes wait a tenth of a second for a row."""
    async with live_server(settings.model_copy(update={"lock_timeout_seconds": 0.1})) as server:
        yield server


@contextlib.asynccontextmanager
async def locked(live: LiveServer, table: Table, *conditions: ColumnElement[bool]) -> AsyncIterator[None]:
    """Keep rows locked, as a session does that somebody has left open."""
    engine = create_async_engine(live.runtime.settings.database, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            found = await connection.execute(select(table).where(*conditions).with_for_update())
            assert found.all()
            yield
    finally:
        await engine.dispose()


def beat(live: LiveServer, device: Activated) -> Awaitable[Response]:
    body = {"hw_fingerprint": device.hw_fingerprint}
    return live.http.post("/licenses/heartbeat", headers=device.headers, json=body)


async def activate_more(live: LiveServer, device: Activated) -> Response:
    return await activate(live, device.tenant, f"more {device.hw_fingerprint}")


async def report_one(live: LiveServer, device: Activated) -> Response:
    return await report(live, device, run_event("b"))


KINDS: list[tuple[str, Table, Callable[[LiveServer, Activated], Awaitable[Response]]]] = [
    ("activation", subscriptions, activate_more),
    ("heartbeat", devices, beat),
    ("refresh", refresh_families, refresh),
    ("usage", usage_rollups, report_one),
]


async def test_a_silent_device_keeps_its_seat_while_its_tenant_is_locked_and_others_lose_theirs(
    live: LiveServer,
) -> None:
    tenants = [await licensed(live) for _ in range(3)]
    for tenant in tenants:
        await activated(live, tenant)
    await change(live, update(plans).values(device_idle_days=7))
    await change(live, update(devices).values(last_seen=live.ctx.now() - timedelta(days=8)))

    async with locked(live, tenants_table, tenants_table.c.id == tenants[0].tenant_id):
        freed = [(await free_idle_seats(live.ctx))["freed_seats"] for _ in range(2)]
    freed.append((await free_idle_seats(live.ctx))["freed_seats"])

    assert freed == [2, 0, 1]


@pytest.mark.parametrize(("table", "send"), [kind[1:] for kind in KINDS], ids=[kind[0] for kind in KINDS])
async def test_a_locked_row_of_one_tenant_keeps_no_other_waiting(
    live: LiveServer, table: Table, send: Callable[[LiveServer, Activated], Awaitable[Response]]
) -> None:
    stuck, other = [await activated(live, await licensed(live, max_uses=100), name) for name in ("stuck", "other")]
    for device in (stuck, other):
        assert (await report(live, device, run_event("a"))).status_code == 200

    async with locked(live, table, table.c.tenant_id == stuck.tenant.tenant_id):
        asked = [asyncio.ensure_future(send(live, device)) for device in (stuck, other)]
        answer = await asked[1]
        told = await asked[0]
    after = await send(live, stuck)

    assert answer.status_code == 200, answer.text
    assert (told.status_code, told.json()["errorCode"], told.headers["retry-after"]) == (
        503,
        "database_unavailable",
        "1",
    )
    assert after.status_code == 200, after.text


async def test_it_costs_no_statement(live: LiveServer) -> None:
    device = await activated(live)

    with counted_statements(live.runtime.db) as statements:
        await beat(live, device)

    assert len(statements) == 1


async def test_any_other_change_waits_as_long(live: LiveServer) -> None:
    device = await activated(live)

    async with locked(live, devices, devices.c.id == device.device_id):
        with pytest.raises(RowLockedError):
            async with live.ctx.write() as conn:
                await conn.rows(select(devices.c.id).with_for_update())


async def test_a_transaction_that_stands_still_is_ended(settings: Settings) -> None:
    async with live_server(settings.model_copy(update={"statement_timeout_seconds": 0.2})) as live:
        device = await activated(live)
        ended = asyncio.Event()

        async def stand_still() -> None:
            async with live.ctx.write() as conn:
                await conn.rows(select(devices.c.id).with_for_update())
                await ended.wait()
                await conn.rows(text("SELECT 1"))

        standing = asyncio.create_task(stand_still())
        answer = None
        while answer is None or answer.status_code == 503:
            answer = await beat(live, device)
        ended.set()

        with pytest.raises(DatabaseUnavailableError):
            await standing
        assert answer.status_code == 200
