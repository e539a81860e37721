"""Changes that meet each other in the database, and what is answered when something happens right after a commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, text, update
from support.admin import as_operator, as_tenant
from support.builders import activate, activated, licensed, report, run_event
from support.deletions import remove_all
from support.live import LiveServer
from support.rows import rows

from app.commands import output
from app.database.connections import WriteConnection
from app.errors import DatabaseConflictError, DatabaseUnavailableError
from app.services.billing.plans import ensure_plan
from app.services.licensing import activation
from app.services.tenants.deletion import delete_tenant
from sql.tables import tenants


@pytest.mark.postgresql_only("SQLite has one writer: nobody waits for a row")
async def test_of_two_changes_that_wait_for_each_other_one_is_told_to_try_again(sanic_client: LiveServer) -> None:
    live = sanic_client
    first, second = [(await licensed(live)).tenant_id for _ in range(2)]
    have_begun = asyncio.Barrier(2)

    async def rename(*tenant_ids: int) -> None:
        async with live.ctx.write() as conn:
            for tenant_id in tenant_ids:
                await conn.affected(update(tenants).where(tenants.c.id == tenant_id).values(name="changed"))
                if tenant_id == tenant_ids[0]:
                    await have_begun.wait()

    outcomes = await asyncio.gather(rename(first, second), rename(second, first), return_exceptions=True)

    (undone,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(undone, DatabaseConflictError)
    assert (undone.status, undone.values["retry_after"]) == (503, 1)


@pytest.mark.postgresql_only("SQLite has one writer: a snapshot that writes is never too old")
async def test_a_snapshot_that_is_too_old_is_told_to_try_again(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant_id = (await licensed(live)).tenant_id
    rename = update(tenants).where(tenants.c.id == tenant_id).values(name="changed")

    async def rename_late() -> None:
        async with live.ctx.write() as conn:
            await conn.affected(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            await conn.rows(select(tenants.c.id))
            async with live.runtime.db.write_autocommit() as other:
                await other.affected(rename)
            await conn.affected(rename)

    with pytest.raises(DatabaseConflictError):
        await rename_late()


async def test_a_change_that_was_undone_is_answered_503(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def undone(*_: object) -> None:
        raise DatabaseConflictError

    monkeypatch.setattr(activation, "activate", undone)
    answer = await activate(sanic_client, await licensed(sanic_client))

    assert (answer.status_code, answer.json()["errorCode"]) == (503, "database_unavailable")
    assert (answer.headers["retry-after"], "nothing was changed" in answer.json()["detail"]) == ("1", True)


def test_the_command_line_says_it_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.report(DatabaseConflictError(), as_json=False) == 1
    assert capsys.readouterr().err.startswith("Others were changing the same at the same moment")


def delete_after_next_commit(live: LiveServer, tenant_slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the tenant deleted between the commit of the next transaction and whatever follows it."""
    write = live.runtime.db.write

    @contextlib.asynccontextmanager
    async def write_then_delete() -> AsyncIterator[WriteConnection]:
        async with write() as conn:
            yield conn
        monkeypatch.undo()
        await delete_tenant(live.ctx, tenant_slug)

    monkeypatch.setattr(live.runtime.db, "write", write_then_delete)


async def test_an_operators_change_is_answered_though_the_tenant_is_deleted_at_once(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, tenant = sanic_client, await licensed(sanic_client)
    headers = await as_operator(live)
    await ensure_plan(live.ctx, name="Larger", price_id="price_larger", quota=70)
    delete_after_next_commit(live, tenant.slug, monkeypatch)

    change = {"name": "Changed", "subscriptionPlan": "Larger"}
    answer = await live.http.put(f"/admin/api/tenants/{tenant.slug}", headers=headers, json=change)

    assert (answer.status_code, answer.json()["name"], answer.json()["usageQuota"]) == (200, "Changed", 70)
    assert await remove_all(live) == ["finished"]
    assert not await rows(live, select(tenants))


async def test_a_tenants_own_change_is_answered_though_it_is_deleted_at_once(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, tenant = sanic_client, await licensed(sanic_client)
    headers = await as_tenant(live, tenant.tenant_id)
    delete_after_next_commit(live, tenant.slug, monkeypatch)

    answer = await live.http.put("/api/tenant/profile", headers=headers, json={"name": "Changed"})

    assert (answer.status_code, answer.json()["name"]) == (200, "Changed")
    assert await remove_all(live) == ["finished"]
    assert not await rows(live, select(tenants))


async def test_stored_usage_is_reported_whatever_cannot_be_asked_afterwards(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await activated(sanic_client)

    def away() -> None:
        raise DatabaseUnavailableError

    monkeypatch.setattr(sanic_client.runtime.db, "read", away)
    answer = await report(
        sanic_client, device, run_event("a"), run_event("a"), run_event("b", at="2000-01-01T00:00:00Z")
    )

    assert [event["status"] for event in answer.json()["events"]] == ["accepted", "duplicate", "rejected"]
