"""Changes that meet each other in the database: one is undone, and its caller is told to try again."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, text, update
from support.builders import activate, licensed
from support.live import LiveServer

from app.commands.output import report
from app.errors import DatabaseConflictError
from app.services.licensing import activation
from sql.tables import tenants


@pytest.mark.postgresql_only("SQLite has one writer: nobody waits for a row")
async def test_of_two_changes_that_wait_for_each_other_one_is_told_to_try_again(sanic_client: LiveServer) -> None:
    live = sanic_client
    first, second = [(await licensed(live)).tenant_id for _ in range(2)]
    have_begun = asyncio.Barrier(2)

    async def rename(*tenant_ids: int) -> None:
        async with live.runtime.db.write() as conn:
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
        async with live.runtime.db.write() as conn:
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
    assert report(DatabaseConflictError(), as_json=False) == 1
    assert capsys.readouterr().err.startswith("Others were changing the same at the same moment")
