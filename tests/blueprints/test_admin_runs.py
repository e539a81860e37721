"""Operators see the runs of all tenants, and end one."""

from __future__ import annotations

from support.admin import Admin, as_operator
from support.builders import licensed
from support.runs import must_hold, ready_project, run_row, started
from support.statements import counted_statements

KEYS = {
    *("id", "projectId", "tenantSlug", "state", "startedBy", "startedAt", "endedAt", "counts", "error", "events"),
    *("totalTasks", "completedTasks", "failedTasks", "cancelledTasks", "completionPercentage", "qualityPercentage"),
}


async def test_runs_are_listed_by_state_and_tenant_page_by_page(admin: Admin) -> None:
    tenant = await licensed(admin.live, max_uses=3)
    made = [await ready_project(admin.live, tenant, f"Shop {number}") for number in range(3)]
    ids = [await started(admin.live, mine, project_id) for _, mine, project_id in made]
    other, mine, project_id = await ready_project(admin.live)
    ids.append(await started(admin.live, mine, project_id))
    await admin.ask("POST", f"/runs/{ids[0]}/cancel")

    everything = (await admin.ask("GET", "/runs"))["runs"]
    assert [run["id"] for run in everything] == ids[::-1]
    assert set(everything[0]) == KEYS
    assert (everything[0]["tenantSlug"], everything[0]["counts"]) == (other.slug, False)
    with counted_statements(admin.live.runtime.db) as seen:
        first = await admin.ask("GET", f"/runs?page_size=2&tenant_slug={tenant.slug}")
    few = len(seen)
    assert ([run["id"] for run in first["runs"]], first["before"]) == ([ids[2], ids[1]], ids[1])
    last = await admin.ask("GET", f"/runs?page_size=2&tenant_slug={tenant.slug}&before={first['before']}")
    assert ([run["id"] for run in last["runs"]], last["before"]) == ([ids[0]], None)
    with counted_statements(admin.live.runtime.db) as seen:
        await admin.ask("GET", f"/runs?tenant_slug={tenant.slug}")
    assert len(seen) == few
    assert [run["id"] for run in (await admin.ask("GET", "/runs?state=cancelled"))["runs"]] == [ids[0]]
    assert (await admin.ask("GET", "/runs?state=completed")) == {"runs": [], "before": None}


async def test_an_operator_ends_a_run_and_a_reader_does_not(admin: Admin) -> None:
    _, mine, project_id = await ready_project(admin.live)
    run_id = await started(admin.live, mine, project_id)
    reader = Admin(admin.live, await as_operator(admin.live, "read_only"))
    await reader.ask("POST", f"/runs/{run_id}/cancel", 403)

    answer = await admin.ask("POST", f"/runs/{run_id}/cancel")

    assert answer == {"id": run_id, "projectId": project_id, "state": "cancelled"}
    assert "has cancelled the run" in (await run_row(admin.live, run_id)).error
    await must_hold(admin.live, run_id)
    assert (await admin.ask("POST", f"/runs/{run_id}/cancel", 409))["errorCode"] == "nothing_runs"
    assert (await admin.ask("POST", "/runs/999999/cancel", 404))["errorCode"] == "run_not_found"
