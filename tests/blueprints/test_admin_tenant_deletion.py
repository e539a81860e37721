"""Operators delete tenants: everything that is theirs goes, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from sqlalchemy import Executable, Table, select, update
from support.admin import Admin, as_operator, as_tenant
from support.builders import activated, licensed, report, run_event, subscribe
from support.deletions import remove_all
from support.rows import change, row_counts, rows, told
from support.sign_in import code_in, deliver_all, generate, mailed, reachable, sent_code, verify

from app.access.keys import fingerprint_hash
from app.database.connections import WriteConnection
from app.services.tenants.deletion import delete_tenant
from sql.statements import sign_in, tenant_deletions
from sql.tables import (
    activation_codes,
    deliveries,
    devices,
    monthly_runs,
    otp_challenges,
    run_changes,
    tenant_sessions,
    usage_rollups,
)


async def test_a_deletion_takes_what_is_the_tenants_and_nothing_else(admin: Admin) -> None:
    gone, stays = [await licensed(admin.live, codes=3, max_uses=5) for _ in range(2)]
    empty = await row_counts(admin.live)
    for tenant in (gone, stays):
        device = await activated(admin.live, tenant)
        await report(admin.live, device, run_event("a"))
        await as_tenant(admin.live, tenant.tenant_id)
    both = await row_counts(admin.live)
    impact = await admin.ask("GET", f"/tenants/{gone.slug}/deletion-impact")

    await admin.ask("DELETE", f"/tenants/{gone.slug}", 204)
    assert await remove_all(admin.live) == ["finished"]

    assert impact == {
        "tenant": {"id": gone.tenant_id, "name": impact["tenant"]["name"], "slug": gone.slug},
        "activation_codes": {"total": 3, "active": 3, "revoked": 0},
        "devices": {"total": 1, "active": 1, "revoked": 0},
        "subscriptions": {"total": 1},
        "usage_events": {"total": 1},
        "usage_rollups": {"total": 1},
        "llm_projects": {"total": 0},
        "llm_agents": {"total": 0},
        "sessions": {"total": 1},
    }
    left = await row_counts(admin.live)
    for table in ("tenants", "subscriptions", "activation_codes"):
        assert left[table] * 2 == empty[table] == both[table]
    for table in ("devices", "refresh_families", "usage_events", "usage_rollups", "tenant_sessions"):
        assert (both[table], left[table]) == (2, 1), table
    months = [row for table in (monthly_runs, run_changes) for row in await rows(admin.live, select(table))]
    assert {row.tenant_id for row in months} == {stays.tenant_id}
    await admin.ask("GET", f"/tenants/{gone.slug}", 404)
    last = (await told(admin.live, gone.tenant_id))[-1]
    assert (last.event_type, orjson.loads(last.metadata)["slug"]) == ("tenant_deleted", gone.slug)
    assert len(await told(admin.live, gone.tenant_id)) > 4
    assert (await admin.tenants())["total"] == 1


async def test_a_deleted_tenants_sessions_and_devices_are_refused(admin: Admin) -> None:
    device = await activated(admin.live)
    session = await as_tenant(admin.live, device.tenant.tenant_id)

    await admin.ask("DELETE", f"/tenants/{device.tenant.slug}", 204)

    assert (await admin.live.http.get("/api/tenant/profile", headers=session)).status_code == 401
    assert (await admin.live.http.get("/licenses/policy", headers=device.headers)).status_code == 401


async def test_a_tenant_that_asked_for_a_code_to_sign_in_may_be_deleted(admin: Admin) -> None:
    gone, stays = [await reachable(admin.live) for _ in range(2)]
    for tenant in (gone, stays):
        await sent_code(admin.live, tenant.slug)
        await generate(admin.live, tenant.slug)

    await admin.ask("DELETE", f"/tenants/{gone.slug}", 204)

    assert [row.tenant_id for row in await rows(admin.live, select(otp_challenges))] == [stays.id]
    waiting = select(deliveries.c.tenant_slug).where(deliveries.c.state == "waiting")
    assert [row.tenant_slug for row in await rows(admin.live, waiting)] == [stays.slug]


async def test_a_tenant_may_be_deleted_while_its_devices_activate_and_report(admin: Admin) -> None:
    for _ in range(3):
        tenant = await licensed(admin.live, max_uses=100)
        device = await activated(admin.live, tenant)
        working = [activated_or_refused(admin, tenant, number) for number in range(10)]
        working += [report(admin.live, device, run_event(f"{number}")) for number in range(10)]

        deleting = admin.live.http.delete(f"/admin/api/tenants/{tenant.slug}", headers=admin.headers)
        *_, deleted = await asyncio.gather(*working, deleting)

        assert deleted.status_code == 204, deleted.text
        assert await remove_all(admin.live) == ["finished"]
        for table in (activation_codes, monthly_runs, usage_rollups):
            assert not await rows(admin.live, select(table).where(table.c.tenant_id == tenant.tenant_id))


async def activated_or_refused(admin: Admin, tenant: Any, number: int) -> None:
    answer = await admin.live.http.post(
        "/authz/activate",
        json={"tenant_slug": tenant.slug, "activation_code": tenant.codes[0], "hw_fingerprint": f"hw {number}"},
    )
    assert answer.status_code in {200, 400, 403, 404}, answer.text


@pytest.mark.postgresql_only("SQLite has one writer")
@pytest.mark.parametrize("table", [activation_codes, devices], ids=["codes", "devices"])
async def test_a_deletion_locks_rows_in_the_order_of_batches(admin: Admin, table: Table) -> None:
    """Whoever holds the first of a tenant's rows gets the second, and the deletion waits for both."""
    tenant = await licensed(admin.live, codes=2, max_uses=5)
    # The last one first in the index that finds a tenant's devices.
    for hardware in sorted(("hardware-1", "hardware-2"), key=fingerprint_hash, reverse=True):
        await activated(admin.live, tenant, hardware)
    mine = select(table.c.id).where(table.c.tenant_id == tenant.tenant_id).order_by(table.c.id)
    first, second = [row.id for row in await rows(admin.live, mine)]
    # A row that was changed stands behind the others in its table.
    await change(admin.live, update(table).where(table.c.id == first).values(label="changed"))
    await delete_tenant(admin.live.ctx, tenant.slug)

    async with admin.live.ctx.write() as conn:
        await conn.rows(mine.where(table.c.id == first).with_for_update())
        deleting = asyncio.create_task(remove_all(admin.live))
        await asyncio.wait({deleting}, timeout=0.5)
        await conn.rows(mine.where(table.c.id == second).with_for_update())
        assert not deleting.done()
    assert await deleting == ["finished"]


async def test_a_tenant_may_be_deleted_while_it_signs_in(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    live, tenant = admin.live, await reachable(admin.live)
    await generate(live, tenant.slug)
    await deliver_all(live)
    (code,) = [code_in(message.text) for message in await mailed(live)]
    affected = WriteConnection.affected
    deleting: list[asyncio.Task[None]] = []

    async def affected_slowly(conn: WriteConnection, statement: Executable, **values: Any) -> int:
        changed = await affected(conn, statement, **values)
        if statement is sign_in.take_challenge:
            deleting.append(asyncio.create_task(delete_tenant(live.ctx, tenant.slug)))
            await asyncio.wait(deleting, timeout=0.5)
        return changed

    monkeypatch.setattr(WriteConnection, "affected", affected_slowly)
    answer = await verify(live, tenant.slug, code)
    await asyncio.gather(*deleting)
    assert await remove_all(live) == ["finished"]

    assert answer.status_code == 200, answer.text
    assert not await rows(live, select(tenant_sessions))


async def test_a_suspended_tenant_is_shown_as_it_is(admin: Admin) -> None:
    tenant = await licensed(admin.live)
    await subscribe(admin.live, tenant, "suspended")

    assert (await admin.ask("GET", f"/tenants/{tenant.slug}"))["subscription"]["status"] == "suspended"


@pytest.mark.parametrize(
    ("role", "statuses"), [("read_only", (200, 403, 403)), ("operator", (200, 200, 403)), ("owner", (200, 200, 204))]
)
async def test_each_role_may_do_its_part(admin: Admin, plan: str, role: str, statuses: tuple[int, ...]) -> None:
    await admin.admit("acme")
    headers = await as_operator(admin.live, role)
    path = "/admin/api/tenants/acme"

    answers = [
        await admin.live.http.get(path, headers=headers),
        await admin.live.http.put(path, headers=headers, json={"name": "Other"}),
        await admin.live.http.delete(path, headers=headers),
    ]

    assert tuple(answer.status_code for answer in answers) == statuses
    assert (await admin.live.http.get(path)).status_code == 401


async def test_codes_for_a_tenant_that_is_deleted_at_that_moment_are_refused(admin: Admin) -> None:
    live, tenant = admin.live, await licensed(admin.live, codes=1)
    async with live.ctx.write() as conn:
        hiding = {"of_slug": tenant.slug, "hidden_slug": "deleted:x", "now": live.ctx.now()}
        await conn.rows(tenant_deletions.hide_tenant, **hiding)
        asked = asyncio.create_task(admin.ask("POST", "/codes/generate", 404, json={"tenant_slug": tenant.slug}))
        await asyncio.wait({asked}, timeout=0.3)

    assert (await asked)["errorCode"] == "tenant_not_found"
