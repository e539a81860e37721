"""Deleting a tenant in pieces: each is a transaction of its own, under a hold, and whoever goes on misses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from sqlalchemy import Executable, select, update
from support.builders import activate, activated, licensed, refresh, report, run_event
from support.clocks import MovableClock
from support.deletions import deletion_of, furnish, left_of, remove_all
from support.live import LiveServer
from support.rows import change, row_counts, rows, told
from support.sign_in import deliver_all, generate, mailed, reachable, sent_code, signed_in, verify
from support.statements import counted_statements

from app.database.connections import WriteConnection
from app.errors import TenantNotFoundError
from app.services.tenants import deletion
from app.services.tenants.deletion import delete_tenant, deletions_waiting, remove_tenant
from app.services.tenants.deletion_list import find_deletion
from app.services.tenants.onboarding import ensure_tenant
from app.services.upkeep.statistics import check_statistics, fold_statistics
from sql.statements import tenant_deletions as statements
from sql.tables import (
    deliveries,
    llm_calls,
    otp_challenges,
    subscriptions,
    tenant_deletions,
    tenants,
    usage_events,
)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pieces of three rows."""
    monkeypatch.setattr(deletion, "ROWS_AT_ONCE", 3)
    return


async def hidden(live: LiveServer, each: int = 4) -> tuple[int, dict[str, int]]:
    """A deleted tenant with so many rows of each kind; its id, and how many rows of each."""
    tenant = await licensed(live)
    made = await furnish(live, tenant.tenant_id, each=each)
    await delete_tenant(live.ctx, tenant.slug)
    return tenant.tenant_id, made


async def test_the_first_transaction_hides_the_tenant_and_frees_its_slug(sanic_client: LiveServer) -> None:
    live, tenant = sanic_client, await licensed(sanic_client)
    await furnish(live, tenant.tenant_id)
    before = await left_of(live, tenant.tenant_id)

    with counted_statements(live.runtime.db) as seen:
        await delete_tenant(live.ctx, tenant.slug)

    assert len(seen) == 6
    assert not [statement for statement in seen if "count(" in statement]
    after = await left_of(live, tenant.tenant_id)
    assert before.keys() - after.keys() == {"subscriptions", "otp_challenges"}
    with pytest.raises(TenantNotFoundError):
        await delete_tenant(live.ctx, tenant.slug)
    (row,) = await rows(live, select(tenants).where(tenants.c.id == tenant.tenant_id))
    with pytest.raises(TenantNotFoundError):
        await delete_tenant(live.ctx, row.slug)
    last = (await told(live, tenant.tenant_id))[-1]
    deleting = await deletion_of(live, tenant.tenant_id)
    assert orjson.loads(last.metadata) == {"name": row.name, "slug": tenant.slug, "deletion_id": deleting.id}
    assert (last.event_type, deleting.requested_by, deleting.found) == ("tenant_deleted", "tests", None)
    assert (await ensure_tenant(live.ctx, name="Next", slug=tenant.slug))[1]


@pytest.mark.usefixtures("small_pieces")
async def test_everything_goes_in_pieces_and_nothing_of_others(sanic_client: LiveServer) -> None:
    live = sanic_client
    other = await licensed(live)
    stays = await furnish(live, other.tenant_id, each=2)
    kept = await left_of(live, other.tenant_id)
    tenant_id, made = await hidden(live, 7)
    spent = {"request_id": "r", "tenant_id": tenant_id, "agent_type": "coder", "provider": "openai", "model": "m"}
    now = live.ctx.now()
    await change(live, llm_calls.insert().values(**spent, created_at=now, day=now.date()))

    there = {name: number for name, number in (await left_of(live, tenant_id)).items() if name != "tenants"}

    with counted_statements(live.runtime.db) as seen:
        assert await remove_all(live) == ["finished"]

    assert await left_of(live, tenant_id) == {}
    assert await left_of(live, other.tenant_id) == kept
    assert stays["devices"] == 2
    row = await deletion_of(live, tenant_id)
    found = orjson.loads(row.found)
    of_messages = {"deliveries": made["deliveries"]}
    assert {name: number for name, number in found.items() if number} == there | of_messages
    assert row.removed == sum(found.values())
    assert (row.attempts, row.held_until) == (1, None)
    assert row.finished_at is not None
    pieces = [statement for statement in seen if "DELETE FROM" in statement]
    progress = [statement for statement in seen if "SET removed" in statement]
    # Of each table one piece more than it fills, unless the last one was not full; and the tenant itself.
    assert len(pieces) == sum(number // 3 + 1 for number in found.values()) + 1
    assert len(progress) == sum(-(-number // 3) for number in found.values())
    assert len(await rows(live, select(llm_calls))) == 1
    await fold_statistics(live.ctx)
    await change(live, tenants.delete().where(tenants.c.id == other.tenant_id))
    assert (await check_statistics(live.ctx))["differences"] == 0


@pytest.mark.usefixtures("small_pieces")
async def test_progress_grows_and_each_run_goes_on_where_the_last_one_stopped(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = sanic_client
    tenant_id, _ = await hidden(live)
    monkeypatch.setattr(deletion, "RUN_SECONDS", 0.0)
    deleting = (await deletion_of(live, tenant_id)).id
    waiting = await find_deletion(live.ctx, deleting)
    assert (waiting.status, waiting.found, waiting.expected, waiting.percent) == ("waiting", None, None, 0)

    progress = []
    while (ended := await remove_all(live)) == ["unfinished"]:
        now = await find_deletion(live.ctx, deleting)
        assert (now.status, now.finished_at) == ("waiting", None)
        progress.append((now.removed, now.percent))

    assert ended == ["finished"]
    assert progress == sorted(set(progress))
    assert len(progress) > 10
    assert all(percent < 100 for _, percent in progress)
    done = await find_deletion(live.ctx, deleting)
    assert (done.status, done.percent, done.removed) == ("finished", 100, done.expected)
    assert (await deletion_of(live, tenant_id)).attempts == len(progress) + 1
    assert await left_of(live, tenant_id) == {}


async def test_a_hold_keeps_others_out_until_it_ends(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    tenant_id, _ = await hidden(live)
    deleting = (await deletion_of(live, tenant_id)).id
    assert await deletions_waiting(live.ctx) == []
    clock.move(seconds=deletion.MISSED_SECONDS + 1)
    assert await deletions_waiting(live.ctx) == [deleting]
    now = live.ctx.now()
    held = {"of_id": deleting, "now": now, "until": deletion._until(live.ctx)}
    async with live.ctx.write_autocommit() as conn:
        assert await conn.rows(statements.take_deletion, **held)

    assert (await find_deletion(live.ctx, deleting)).status == "running"
    assert await deletions_waiting(live.ctx) == []
    assert await remove_all(live) == ["held or finished"]
    clock.move(seconds=deletion.HOLD_SECONDS + 1)
    assert await deletions_waiting(live.ctx) == [deleting]
    assert await remove_all(live) == ["finished"]
    assert (await remove_tenant(live.ctx, deleting))["state"] == "held or finished"
    assert await deletions_waiting(live.ctx) == []


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("moment", ["store_found", "add_removed", "finish_deletion"])
async def test_a_holder_that_was_only_thought_dead_commits_nothing(
    sanic_client: LiveServer, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    live = sanic_client
    tenant_id, _ = await hidden(live)
    deleting = (await deletion_of(live, tenant_id)).id
    affected = WriteConnection.affected
    taken: list[dict[str, int]] = []

    async def overtaken(conn: WriteConnection, statement: Executable, **values: Any) -> int:
        """The other process takes the hold just before this one says that it still has it."""
        if statement is getattr(statements, moment) and not taken:
            taken.append(await left_of_in(conn, tenant_id))
            taking = update(tenant_deletions).values(attempts=tenant_deletions.c.attempts + 1)
            await affected(conn, taking)
        return await affected(conn, statement, **values)

    monkeypatch.setattr(WriteConnection, "affected", overtaken)
    before = await left_of(live, tenant_id)
    assert (await remove_tenant(live.ctx, deleting))["state"] == "lost"
    monkeypatch.undo()

    after = await left_of(live, tenant_id)
    assert taken
    assert moment == "finish_deletion" or after == before
    assert "tenants" in after
    clock.move(seconds=deletion.HOLD_SECONDS + 1)
    assert await remove_all(live) == ["finished"]
    assert await left_of(live, tenant_id) == {}


async def left_of_in(conn: WriteConnection, tenant_id: int) -> dict[str, int]:
    """How many usage events the transaction still sees."""
    found = await conn.rows(select(usage_events.c.event_id).where(usage_events.c.tenant_id == tenant_id))
    return {"usage_events": len(found)}


async def test_a_new_tenant_with_the_slug_keeps_everything(sanic_client: LiveServer, clock: MovableClock) -> None:
    live, old = sanic_client, await reachable(sanic_client, email="old@example.com")
    session = await signed_in(live, await reachable(live))
    code = await sent_code(live, old.slug)
    await generate(live, old.slug)
    await furnish(live, old.id)
    await delete_tenant(live.ctx, old.slug)
    clock.move(seconds=1)
    new, is_new = await ensure_tenant(live.ctx, name="The next", slug=old.slug, email="new@example.com")
    assert is_new
    assert new.id != old.id
    await furnish(live, new.id, mark="new")
    await generate(live, new.slug)
    kept = await left_of(live, new.id)

    # A code that the old tenant got signs nobody in, and a message that waited for it is sent to nobody.
    assert (await verify(live, old.slug, code)).status_code == 401
    assert await remove_all(live) == ["finished"]

    assert await left_of(live, new.id) == kept
    waiting = await rows(live, select(deliveries.c.id).where(deliveries.c.state == "waiting"))
    assert len(waiting) == 1
    assert await deliver_all(live) == ["sent"]
    assert [message.to for message in await mailed(live)].count("old@example.com") == 1
    assert await left_of(live, old.id) == {}
    assert (await live.http.get("/api/tenant/profile", headers=session.headers)).status_code == 200


async def test_the_id_of_a_deleted_tenant_is_not_given_again(sanic_client: LiveServer) -> None:
    """Nor does an access token that is still good open anything of the next tenant."""
    live, device = sanic_client, await activated(sanic_client)
    await delete_tenant(live.ctx, device.tenant.slug)
    await remove_all(live)

    next_device = await activated(live)

    assert next_device.tenant.tenant_id > device.tenant.tenant_id
    assert (await live.http.get("/licenses/policy", headers=device.headers)).status_code == 401
    await delete_tenant(live.ctx, next_device.tenant.slug)
    assert await remove_all(live) == ["finished"]


async def test_who_acts_while_the_tenant_is_deleted_is_served_or_refused(sanic_client: LiveServer) -> None:
    """Activations, heartbeats, refreshes, usage, sign-ins and changes beside the deletion: no failure, nothing left."""
    live = sanic_client
    for turn in range(4):
        tenant = await licensed(live, max_uses=1000, codes=3)
        device, other = [await activated(live, tenant, f"first {number}") for number in range(2)]
        operating = {"hw_fingerprint": other.hw_fingerprint}
        acting = []
        for number in range(12):
            acting += [
                activate(live, tenant, f"hw {turn} {number}", tenant.codes[number % 3]),
                activate(live, tenant, "first 0", tenant.codes[number % 3]),
                live.http.post("/licenses/heartbeat", headers=other.headers, json=operating),
                live.http.get("/licenses/policy", headers=device.headers),
                report(live, device, run_event(f"{number}"), run_event(f"{number} more")),
                generate(live, tenant.slug),
            ]
        acting += [refresh(live, device), refresh(live, other)]

        async def delete_soon(slug: str = tenant.slug, wait: float = turn / 100) -> None:
            await asyncio.sleep(wait)
            await delete_tenant(live.ctx, slug)
            assert await remove_all(live) == ["finished"]

        *answers, _ = await asyncio.gather(*acting, delete_soon())

        statuses = {answer.status_code for answer in answers}
        assert statuses <= {200, 401, 403, 404, 429}, statuses
        assert await left_of(live, tenant.tenant_id) == {}
        subscribed = select(subscriptions.c.id).where(subscriptions.c.tenant_id == tenant.tenant_id)
        assert await rows(live, subscribed) == []
        assert (await rows(live, select(otp_challenges).where(otp_challenges.c.tenant_id == tenant.tenant_id))) == []
    assert (await check_statistics(live.ctx))["differences"] == 0


async def test_deletions_of_several_tenants_leave_the_rest(sanic_client: LiveServer) -> None:
    live, stays = sanic_client, await licensed(sanic_client)
    before = await row_counts(live)
    gone = [await licensed(live) for _ in range(5)]
    for tenant in gone:
        await furnish(live, tenant.tenant_id, each=2)

    await asyncio.gather(*(delete_tenant(live.ctx, tenant.slug) for tenant in gone))
    ids = await rows(live, select(tenant_deletions.c.id))
    # Twice each, at the same time.
    ended = await asyncio.gather(*(remove_tenant(live.ctx, row.id) for row in [*ids, *ids]))

    assert sorted(str(each["state"]) for each in ended) == ["finished"] * 5 + ["held or finished"] * 5
    after = await row_counts(live)
    ignored = {"platform_events", "tenant_deletions", "plans", "statistics_changes"}
    assert {name: after[name] for name in after.keys() - ignored} == {
        name: before[name] for name in before.keys() - ignored
    }
    assert (await left_of(live, stays.tenant_id))["tenants"] == 1
