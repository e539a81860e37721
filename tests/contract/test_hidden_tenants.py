"""Hidden tenants: while the rows of a deleted tenant are still there, no operation and no list shows a trace of it.

Generated from the stated rules, so an operation that is added is asked too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from httpx2 import Response
from sqlalchemy import insert, select, update
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import Activated, activate, activated, licensed, refresh, report, run_event
from support.clocks import MovableClock
from support.contract import OPERATIONS, READING, address, body_of, label
from support.deletions import furnish, left_of, remove_all
from support.live import LiveServer
from support.rows import change, labelled, named, row_counts, rows
from support.sign_in import generate, verify

from app.contract.api_document import Operation
from app.services.reports.analytics import analytics
from app.services.tenants.deletion import delete_tenant
from app.services.tenants.tenant_list import tenants_by_slug
from app.services.upkeep.months import keep_months
from app.services.upkeep.sessions import purge_sessions
from app.services.upkeep.statistics import check_statistics, fold_statistics
from app.services.upkeep.usage import check_rollups
from sql.hidden import is_shown
from sql.statements import statistics
from sql.tables import (
    activation_codes,
    devices,
    monthly_runs,
    platform_events,
    projects,
    tenants,
    usage_rollups,
)

# In every text of the hidden tenant.
MARK = "vanished"
# These tell of deleted tenants on purpose: the trail, its feed, and the deletions themselves.
TELLING = ("/admin/api/events", "/admin/api/recent-activities", "/admin/api/tenant-deletions")
PAGES = ("/admin/codes", "/admin/devices", "/admin/codes/revoke", "/admin/devices/revoke")


class Vanished:
    """A tenant with rows of every kind that has just been deleted, and who acted for it."""

    def __init__(self, device: Activated, session: dict[str, str], ids: dict[str, list[Any]]) -> None:
        self.device, self.session, self.ids = device, session, ids
        self.slug, self.tenant_id = device.tenant.slug, device.tenant.tenant_id

    def traces(self, text: str) -> list[str]:
        """What of it a text shows."""
        return re.findall(rf"[^,{{]*(?:{MARK}|{re.escape(self.slug)}|deleted:|HIDE)[^,}}]*", text)


async def vanished(live: LiveServer) -> Vanished:
    tenant = await licensed(live, codes=2, max_uses=5)
    device = await activated(live, tenant)
    await report(live, device, run_event("a", 7))
    session = await as_tenant(live, tenant.tenant_id)
    profile = {**named(f"The {MARK}"), "email": f"{MARK}@example.com", "logo_url": f"https://{MARK}"}
    await change(live, update(tenants).where(tenants.c.id == tenant.tenant_id).values(**profile))
    await furnish(live, tenant.tenant_id, each=3, mark=MARK)
    now = live.ctx.now()
    # The newest of all, so that a list that shows them shows them first.
    for table in (activation_codes, devices):
        recent = {"created_at": now} | ({"last_seen": now} if table is devices else {})
        await change(
            live, update(table).where(table.c.tenant_id == tenant.tenant_id).values(**recent, **labelled(MARK))
        )
    await keep_months(live.ctx)
    ids = {
        "code_id": [row.id for row in await of(live, activation_codes, tenant.tenant_id)],
        "device_id": [row.id for row in await of(live, devices, tenant.tenant_id)],
        "project_id": [row.project_id for row in await of(live, projects, tenant.tenant_id)],
        "tenant_slug": [tenant.slug],
    }
    await delete_tenant(live.ctx, tenant.slug)
    return Vanished(device, session, ids)


async def of(live: LiveServer, table: Any, tenant_id: int) -> Any:
    return await rows(live, select(table).where(table.c.tenant_id == tenant_id))


def addresses(operation: Operation, gone: Vanished) -> Iterator[str]:
    """The addresses of the operation that are about the tenant, and without an id the one that lists."""
    named = [name for name in operation.path_parameters if name in gone.ids]
    if not named:
        yield address(operation, gone.slug)
        return
    for value in gone.ids[named[0]][:2]:
        yield (
            address(operation, gone.slug)
            if named[0] == "tenant_slug"
            else operation.path.replace(f"{{{named[0]}}}", str(value))
        )


def queries(operation: Operation) -> Iterator[str]:
    """Without a query, and with each that may find the tenant."""
    yield ""
    members = operation.query.model_fields if operation.query else {}
    if "search" in members:
        yield from (f"?search={text}" for text in (MARK, "HIDE", "an", MARK[:2]))
    if "status" in members:
        yield "?status=none"
    if "sort_field" in members:
        yield from (f"?sort_field={by}" for by in ("usage", "name", "slug", "updated_at"))
        yield f"?sort_field=usage&search={MARK}"


async def test_no_operation_shows_a_trace_of_a_hidden_tenant(sanic_client: LiveServer) -> None:
    gone = await vanished(sanic_client)
    owner = await as_operator(sanic_client)
    people = (owner, gone.session, gone.device.headers, {})
    shown, asked = [], 0
    for operation in OPERATIONS:
        if operation.method not in READING or operation.path.startswith(TELLING):
            continue
        for path in addresses(operation, gone):
            for headers in people:
                for query in queries(operation):
                    answer = await sanic_client.http.get(f"{path}{query}", headers=headers)
                    asked += 1
                    # A refusal may repeat what was asked for.
                    if answer.status_code >= 400 and "problem" in answer.headers["content-type"]:
                        continue
                    if traces := gone.traces(answer.text):
                        shown.append(f"{label(operation)} {path}{query}: {traces[:3]}")

    assert shown == []
    assert asked > 150
    assert len(await of(sanic_client, activation_codes, gone.tenant_id)) == 5


async def test_what_changes_something_finds_nothing_of_a_hidden_tenant(sanic_client: LiveServer) -> None:
    gone = await vanished(sanic_client)
    owner = await as_operator(sanic_client)
    left = await left_of(sanic_client, gone.tenant_id)
    done, asked = [], 0
    for operation in OPERATIONS:
        about_it = {"tenant_slug", "code_id", "device_id", "project_id"} & set(operation.path_parameters)
        if operation.method in READING or not about_it:
            continue
        for path in addresses(operation, gone):
            for headers in (owner, gone.session, gone.device.headers):
                body = body_of(operation)
                sent = {} if body is None else {"json": body}
                answer = await sanic_client.http.request(operation.method, path, headers=headers, **sent)
                asked += 1
                if answer.status_code not in {401, 403, 404, 422}:
                    done.append(f"{label(operation)} {path}: {answer.status_code} {answer.text[:200]}")

    assert done == []
    assert asked >= 15
    assert await left_of(sanic_client, gone.tenant_id) == left


async def test_no_page_shows_a_trace_of_a_hidden_tenant(sanic_client: LiveServer) -> None:
    gone = await vanished(sanic_client)
    cookie = await operator_cookie(sanic_client)

    for page in PAGES:
        query = f"?tenant={gone.slug}&tenant_slug={gone.slug}"
        ids = f"&code_id={gone.ids['code_id'][0]}&device_id={gone.ids['device_id'][0]}"
        answer = await sanic_client.http.get(f"{page}{query}{ids}", headers=cookie)
        assert MARK not in answer.text
        assert "HIDE" not in answer.text


async def test_its_devices_and_sessions_are_refused(sanic_client: LiveServer) -> None:
    gone = await vanished(sanic_client)
    before = await row_counts(sanic_client)
    live, device = sanic_client, gone.device

    def refusal(answer: Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["errorCode"]

    assert refusal(await live.http.get("/licenses/policy", headers=device.headers)) == (401, "device_unknown")
    beat = {"hw_fingerprint": device.hw_fingerprint}
    answer = await live.http.post("/licenses/heartbeat", headers=device.headers, json=beat)
    assert refusal(answer) == (401, "device_unknown")
    assert refusal(await report(live, device, run_event("late"))) == (401, "device_unknown")
    assert refusal(await refresh(live, device)) == (404, "tenant_not_found")
    assert refusal(await activate(live, device.tenant, "new")) == (404, "tenant_not_found")
    assert refusal(await activate(live, device.tenant)) == (404, "tenant_not_found")
    for path in ("/api/tenant/profile", "/api/tenant/auth/session"):
        if (answer := await live.http.get(path, headers=gone.session)).status_code != 404:
            assert refusal(answer) == (401, "session_invalid")
    owner = await as_operator(live)
    late = {"events": [run_event("late")]}
    answer = await live.http.post(f"/usage/{gone.slug}/events", headers=owner, json=late)
    assert refusal(answer) == (404, "tenant_not_found")
    assert (await generate(live, gone.slug)).status_code == 200
    assert (await verify(live, gone.slug, "123456")).status_code == 401
    after = await row_counts(live)
    assert {name: after[name] for name in ("usage_events", "devices", "refresh_families")} == {
        name: before[name] for name in ("usage_events", "devices", "refresh_families")
    }


async def test_figures_lists_and_schedules_leave_it_out(sanic_client: LiveServer, clock: MovableClock) -> None:
    gone, live = await vanished(sanic_client), sanic_client
    stays = await licensed(live)
    tells = await rows(live, select(platform_events.c.id))

    assert [tenant.slug for tenant in await tenants_by_slug(live.ctx)] == [stays.slug]
    figures = await analytics(live.ctx, "30d")
    assert [usage.tenant for usage in figures.tenant_usage] == [f"Tenant {stays.slug.removeprefix('tenant-')}"]
    assert figures.summary_stats.retention_rate == 0
    assert not await rows(live, statistics.sums_that_differ, metric="tenants_created", max_rows=9)
    # In the middle of a deletion the events are gone and their sums are not.
    await change(live, usage_rollups.update().where(usage_rollups.c.tenant_id == gone.tenant_id).values(quantity=99))
    clock.move(days=1)
    checked = await check_rollups(live.ctx)
    assert (checked["differences"], checked["month_differences"]) == (0, 0)
    await change(live, monthly_runs.delete().where(monthly_runs.c.tenant_id == gone.tenant_id))
    await fold_statistics(live.ctx)
    await keep_months(live.ctx)
    assert await of(live, monthly_runs, gone.tenant_id) == []
    clock.move(days=400)
    await purge_sessions(live.ctx)
    assert await rows(live, select(platform_events.c.id)) == tells
    assert await remove_all(live) == ["finished"]
    assert await left_of(live, gone.tenant_id) == {}
    assert (await check_statistics(live.ctx))["differences"] == 0


async def test_what_belongs_to_nobody_is_shown_though_a_tenant_is_hidden(sanic_client: LiveServer) -> None:
    await vanished(sanic_client)
    now = sanic_client.ctx.now()
    own = {"project_id": "own", "name": "Own", "created_by": "it", "created_at": now, "updated_at": now}
    await change(sanic_client, insert(projects).values(**own))

    found = await rows(sanic_client, select(projects.c.project_id).where(is_shown(projects)))

    assert [row.project_id for row in found] == ["own"]
