"""Usage that is reported at the moment in which its tenant is deleted: stored or 404, and nothing is left of it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from support.admin import as_operator
from support.builders import activated, licensed, report, run_event
from support.deletions import remove_all
from support.live import LiveServer
from support.rows import rows

from app.services.tenants.deletion import delete_tenant
from sql.tables import tenants, usage_events, usage_rollups

WAITS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE '%usage_events%'"
)


async def left(live: LiveServer) -> list[int]:
    counts = (select(func.count()).select_from(table) for table in (usage_events, usage_rollups, tenants))
    return [(await rows(live, count))[0][0] for count in counts]


async def test_usage_during_a_deletion_is_stored_or_404(sanic_client: LiveServer) -> None:
    live = sanic_client
    device = await activated(live, await licensed(live))
    operator = await as_operator(live)
    path = f"/usage/{device.tenant.slug}/events"

    async def as_an_operator(number: int) -> int:
        events = {"events": [run_event(f"operator {number}")]}
        return (await live.http.post(path, headers=operator, json=events)).status_code

    async def as_a_device(number: int) -> int:
        return (await report(live, device, run_event(f"device {number}"))).status_code

    async def delete_then() -> int:
        await asyncio.sleep(0)
        await delete_tenant(live.ctx, device.tenant.slug)
        return 0

    told = await asyncio.gather(
        *(send(number) for number in range(5) for send in (as_an_operator, as_a_device)),
        delete_then(),
        *(send(number) for number in range(5, 10) for send in (as_an_operator, as_a_device)),
    )
    after = [await as_an_operator(20), await as_a_device(20)]
    removed = await remove_all(live)

    # A device whose tenant is gone is one that nobody knows.
    assert set(told) <= {0, 200, 404, 401}
    assert after == [404, 401]
    assert removed == ["finished"]
    assert await left(live) == [0, 0, 0]


@pytest.mark.postgresql_only("SQLite has one writer: a statement sees what it changes")
async def test_a_tenant_that_goes_between_a_statements_look_and_its_insert_is_404(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant = await licensed(live)
    operator = await as_operator(live)
    engine = create_async_engine(live.runtime.settings.database, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.execute(delete(tenants).where(tenants.c.id == tenant.tenant_id))
        events = {"events": [run_event("late")]}
        path = f"/usage/{tenant.slug}/events"
        sent = asyncio.create_task(live.http.post(path, headers=operator, json=events))
        # The statement has seen the tenant, and waits for the transaction that deletes it.
        while not (await rows(live, WAITS))[0][0]:  # noqa: ASYNC110 - it happens in the server
            await asyncio.sleep(0.01)
        await connection.commit()
        answer = await sent
    await engine.dispose()

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "tenant_not_found")
    assert await left(live) == [0, 0, 0]
