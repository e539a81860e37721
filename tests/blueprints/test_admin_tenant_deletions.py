"""Operators watch deletions of tenants: which there are, and how far each is."""

from __future__ import annotations

from support.admin import Admin
from support.builders import licensed
from support.deletions import furnish, remove_all
from support.statements import counted_statements

KEYS = {
    "id",
    "tenant_id",
    "slug",
    "name",
    "requested_by",
    "requested_at",
    "status",
    "found",
    "expected",
    "removed",
    "percent",
    "finished_at",
}


async def test_the_impact_counts_projects_by_tenant(admin: Admin) -> None:
    tenant, other = [await licensed(admin.live) for _ in range(2)]
    for each, number in ((tenant, 3), (other, 5)):
        await furnish(admin.live, each.tenant_id, each=number)

    impact = await admin.ask("GET", f"/tenants/{tenant.slug}/deletion-impact")

    assert (impact["llm_projects"], impact["llm_agents"]) == ({"total": 3}, {"total": 6})


async def test_a_deletion_is_listed_from_its_beginning_to_its_end(admin: Admin) -> None:
    gone = [await licensed(admin.live) for _ in range(3)]
    for tenant in gone:
        await furnish(admin.live, tenant.tenant_id, each=2)
        await admin.ask("DELETE", f"/tenants/{tenant.slug}", 204)

    listed = await admin.ask("GET", "/tenant-deletions", params={"page_size": 2})
    second = await admin.ask("GET", "/tenant-deletions", params={"page_size": 2, "page": 2})
    await remove_all(admin.live)
    (done,) = (await admin.ask("GET", "/tenant-deletions", params={"page_size": 1}))["deletions"]

    numbers = ("total", "total_is_capped", "page", "page_size", "total_pages")
    assert [listed[name] for name in numbers] == [3, False, 1, 2, 2]
    found = [*listed["deletions"], *second["deletions"]]
    assert [each["slug"] for each in found] == [tenant.slug for tenant in reversed(gone)]
    assert all(each.keys() == KEYS for each in found)
    begun = found[0]
    assert [begun[name] for name in ("status", "found", "expected", "removed", "percent")] == [
        "waiting",
        None,
        None,
        0,
        0,
    ]
    assert begun["requested_by"] == "token tests as owner"
    assert (done["status"], done["percent"], done["removed"]) == ("finished", 100, done["expected"])
    assert done["found"]["projects"] == 2
    assert sum(done["found"].values()) == done["expected"]
    assert await admin.ask("GET", f"/tenant-deletions/{done['id']}") == done


async def test_a_page_is_one_statement_and_an_unknown_deletion_is_404(admin: Admin) -> None:
    with counted_statements(admin.live.runtime.db) as seen:
        empty = await admin.ask("GET", "/tenant-deletions")
    missing = await admin.ask("GET", "/tenant-deletions/7", 404)

    assert (empty["deletions"], empty["total"]) == ([], 0)
    # Who asks, and the page.
    assert len(seen) == 2
    assert missing["errorCode"] == "tenant_deletion_not_found"
