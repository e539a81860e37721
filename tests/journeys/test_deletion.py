"""A large tenant is deleted, the server dies in the middle of it, and another one finishes."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from support.processes import FULL_PROOF, ServerProcess, served

from app.access.permissions import Role
from app.context import Context
from app.services.operators.api_tokens import create_token
from app.services.tenants.deletion import deletions_waiting
from app.services.tenants.deletion_list import TenantDeletion, list_deletions
from app.services.tenants.onboarding import ensure_tenant
from app.services.upkeep.statistics import check_statistics
from sql.tables import activation_codes, tenant_deletions, tenants, usage_events

pytestmark = pytest.mark.processes
PATIENCE = 120.0
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)
CODES, EVENTS = 5_000, 40_000 if FULL_PROOF else 20_000


async def large_tenant(ctx: Context, slug: str, *, codes: int, events: int) -> int:
    tenant, _ = await ensure_tenant(ctx, name=slug, slug=slug)
    now = datetime.now(UTC)
    rows: dict[Any, list[dict[str, Any]]] = {
        activation_codes: [
            {"tenant_id": tenant.id, "code_hash": str(number).encode(), "hint": "ABCD", "created_at": now}
            for number in range(codes)
        ],
        usage_events: [
            {
                "tenant_id": tenant.id,
                "event_id": str(number),
                "kind": "run",
                "quantity": 1,
                "at": now,
                "day": now.date(),
                "received_at": now,
            }
            for number in range(events)
        ],
    }
    for table, values in rows.items():
        async with ctx.write() as conn:
            for first in range(0, len(values), 1000):
                await conn.insert_all(insert(table), values[first : first + 1000])
    return tenant.id


async def progress(ctx: Context) -> TenantDeletion:
    (deletion,) = (await list_deletions(ctx)).rows
    return deletion


def owner_of(ctx: Context) -> Context:
    """The same context for somebody who may do everything."""
    return ctx._replace(actor=ctx.actor._replace(permissions=Role.OWNER.permissions))


def kill(server: ServerProcess) -> None:
    """The machine loses its power: nobody ends anything."""
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()


async def test_another_server_finishes_what_a_killed_one_has_begun(database: str, tmp_path: Path) -> None:
    removed = []
    async with served(database, tmp_path, workers=1) as server:
        tenant_id = await large_tenant(server.ctx, "large", codes=CODES, events=EVENTS)
        other_id = await large_tenant(server.ctx, "other", codes=3, events=3)
        # By the server itself, which then does not wait for its sweep.
        owner = await create_token(owner_of(server.ctx), name="tests", role=Role.OWNER)
        headers = {"authorization": f"Bearer {owner.token}"}
        assert (await server.http.delete("/admin/api/tenants/large", headers=headers)).status_code == 204
        async with asyncio.timeout(PATIENCE):
            while not removed or removed[-1] < 4_000:
                removed.append((await progress(server.ctx)).removed)
        kill(server)
        removed.append((await progress(server.ctx)).removed)
        interrupted = await progress(server.ctx)

        # Time passes, until nobody holds it.
        assert await deletions_waiting(server.ctx) == []
        async with server.ctx.write() as conn:
            await conn.affected(update(tenant_deletions).values(held_until=LONG_AGO, requested_at=LONG_AGO))
        assert len(await deletions_waiting(server.ctx)) == 1

    assert interrupted.status != "finished"
    assert 0 < interrupted.removed < CODES + EVENTS
    async with served(database, tmp_path, workers=1) as server:
        async with asyncio.timeout(PATIENCE):
            while (deletion := await progress(server.ctx)).status != "finished":
                removed.append(deletion.removed)
                await asyncio.sleep(0.1)
        assert deletion.percent == 100
        assert deletion.removed >= CODES + EVENTS
        async with server.ctx.read() as conn:
            for table in (activation_codes, usage_events):
                counted = select(func.count()).select_from(table).group_by(table.c.tenant_id)
                ids = await conn.rows(counted.add_columns(table.c.tenant_id))
                assert [tuple(row) for row in ids] == [(3, other_id)]
            assert await conn.many(select(tenants.c.id).where(tenants.c.id == tenant_id), int) == []
        assert (await check_statistics(server.ctx))["differences"] == 0
        assert [event["state"] for event in server.events("tenant_rows_removed")] == ["finished"]
    assert removed == sorted(removed)
