"""Tenants, plans, codes, devices and usage in GraphQL: what they show, page by page, and with how many statements."""

from __future__ import annotations

from typing import Any

import pytest
from support.admin import as_operator, as_tenant
from support.builders import Licensed, activated, licensed, report, run_event
from support.graphql import data, refusal
from support.live import LiveServer
from support.statements import counted_statements

PAGES = {
    "tenants": "tenants(first: $first, after: $after) { %s }",
    "plans": "plans(first: $first, after: $after) { %s }",
    "activationCodes": "activationCodes(first: $first, after: $after) { %s }",
    "devices": "devices(first: $first, after: $after) { %s }",
}
PARTS = """edges { cursor node { id } } nodes { id } totalCount
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"""


async def busy(live: LiveServer, number: int = 1) -> Licensed:
    """A tenant with codes, devices and usage; ``number`` tells its hardware from others'."""
    tenant = await licensed(live, codes=3, max_uses=100)
    for place in range(3):
        device = await activated(live, tenant, f"hardware-{number}-{place}")
    kinds = ("call", "minute")
    used = [{**run_event(kind), "kind": kind} for kind in kinds]
    answer = await report(live, device, run_event("one", 2), *used)
    assert answer.status_code in {200, 202}, answer.text
    return tenant


def at(found: Any, path: str) -> Any:
    for part in path.split("."):
        found = found[part]
    return found


async def all_pages(live: LiveServer, who: dict[str, str], path: str, document: str) -> list[dict[str, Any]]:
    pages, after = [], None
    while not pages or pages[-1]["pageInfo"]["hasNextPage"]:
        page = at(await data(live, who, document, first=2, after=after), path)
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        cursors = [edge["cursor"] for edge in page["edges"]]
        assert (page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]) == (cursors[0], cursors[-1])
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        pages.append(page)
        after = cursors[-1]
    return pages


@pytest.fixture
async def reader(sanic_client: LiveServer) -> dict[str, str]:
    return await as_operator(sanic_client, "read_only")


async def test_pages_have_no_overlap_and_no_gap(sanic_client: LiveServer, reader: dict[str, str]) -> None:
    tenant = [await busy(sanic_client, number) for number in range(3)][-1]
    mine = await as_tenant(sanic_client, tenant.tenant_id)
    head = "query($first: Int!, $after: String) { "
    lists: list[tuple[dict[str, str], str, str, int]] = [
        (reader, name, f"{head}{text % PARTS} }}", 3 if name in {"tenants", "plans"} else 9)
        for name, text in PAGES.items()
    ]
    lists += [(mine, name, f"{head}{PAGES[name] % PARTS} }}", 3) for name in ("activationCodes", "devices")]
    lists += [
        (who, f"tenant.{name}", f'{head}tenant(slug: "{tenant.slug}") {{ {PAGES[name] % PARTS} }} }}', 3)
        for who in (reader, mine)
        for name in ("activationCodes", "devices")
    ]
    usage = PAGES["devices"].replace("devices", "usage") % PARTS.replace("id", "day kind quantity")
    lists.append((mine, "tenant.usage", f"{head}tenant {{ {usage} }} }}", 3))

    for who, path, document, total in lists:
        pages = await all_pages(sanic_client, who, path, document)
        found = [str(node) for page in pages for node in page["nodes"]]
        assert len(found) == len(set(found)) == total, (path, found)
        assert {page["totalCount"] for page in pages} == {total}, path
        if "id" in pages[0]["nodes"][0] and path != "plans":
            ids = [int(node["id"]) for page in pages for node in page["nodes"]]
            assert ids == sorted(ids, reverse=True), path


async def test_a_filter_and_a_search_go_on_behind_a_cursor(sanic_client: LiveServer, reader: dict[str, str]) -> None:
    tenant = await busy(sanic_client)
    await busy(sanic_client, 2)
    head = "query($first: Int!, $after: String) { "
    asked = {
        "tenants": ('search: "Tenant", status: ACTIVE', 2),
        "activationCodes": (f'tenantSlug: "{tenant.slug}", status: ACTIVE, search: "Tenant"', 3),
        "devices": ('search: "Tenant"', 6),
    }

    for name, (filters, total) in asked.items():
        document = PAGES[name].replace("after: $after", f"after: $after, {filters}") % PARTS
        pages = await all_pages(sanic_client, reader, name, f"{head}{document} }}")
        ids = [node["id"] for page in pages for node in page["nodes"]]
        assert len(ids) == len(set(ids)) == total, name
        assert {page["totalCount"] for page in pages} == {total}, name


EVERYTHING = """{ tenants(first: 9) { totalCount nodes { id slug usageCurrent
  subscription { state seatsUsed plan { name monthlyLlmBudget } tenant { name } }
  activationCodes(first: 2) { totalCount totalCountIsCapped nodes { hint status tenant { slug } } }
  devices(first: 2) { totalCount nodes { hwFingerprint lastSeen tenant { slug } } }
  usage(first: 5) { totalCount nodes { day kind quantity events } } } }
  activationCodes(first: 9) { nodes { tenant { subscription { plan { name } } } } }
  devices(first: 9) { nodes { tenant { slug } } } }"""


async def test_statements_depend_on_the_depth_and_not_on_the_rows(
    sanic_client: LiveServer, reader: dict[str, str]
) -> None:
    counts = []
    for number in range(3):
        await busy(sanic_client, number)
        with counted_statements(sanic_client.runtime.db) as seen:
            found = await data(sanic_client, reader, EVERYTHING)
        counts.append(len(seen))

    # Beside the token and the three pages: of tenants the subscriptions, codes, devices and usage, and how many there
    # are of the last three; then plans, and the tenants of what was found.
    assert counts == [13, 13, 13]
    assert len(found["tenants"]["nodes"]) == 3
    today = sanic_client.ctx.today().isoformat()
    for tenant in found["tenants"]["nodes"]:
        assert tenant["subscription"]["plan"]["name"] == f"Plan {tenant['slug'].removeprefix('tenant-')}"
        assert (tenant["subscription"]["state"], tenant["subscription"]["seatsUsed"]) == ("ACTIVE", 3)
        assert [len(tenant[name]["nodes"]) for name in ("activationCodes", "devices")] == [2, 2]
        assert [tenant[name]["totalCount"] for name in ("activationCodes", "devices", "usage")] == [3, 3, 3]
        assert {node["tenant"]["slug"] for node in tenant["devices"]["nodes"]} == {tenant["slug"]}
        assert tenant["usage"]["nodes"] == [
            {"day": today, "kind": "call", "quantity": 1, "events": 1},
            {"day": today, "kind": "minute", "quantity": 1, "events": 1},
            {"day": today, "kind": "run", "quantity": 2, "events": 1},
        ]
        assert tenant["usageCurrent"] == 2


async def test_each_list_is_one_statement_with_all_that_a_page_says(
    sanic_client: LiveServer, reader: dict[str, str]
) -> None:
    await busy(sanic_client)
    await busy(sanic_client, 2)
    page = "(first: 2) { nodes { __typename } pageInfo { hasNextPage } %s }"
    counts = {}
    for count in ("", "totalCount totalCountIsCapped"):
        for name in ("tenants", "plans", "activationCodes", "devices"):
            with counted_statements(sanic_client.runtime.db) as seen:
                await data(sanic_client, reader, f"{{ {name}{page % count} }}")
            counts[name, bool(count)] = len(seen)
        for name in ("activationCodes", "devices", "usage"):
            with counted_statements(sanic_client.runtime.db) as seen:
                await data(sanic_client, reader, f"{{ tenants {{ nodes {{ {name}{page % count} }} }} }}")
            counts[f"tenants.{name}", bool(count)] = len(seen)

    # Beside the token: a page has its total; for the lists of tenants it is asked for where somebody wants it.
    assert counts == {
        (name, is_counted): 3 + is_counted if name.startswith("tenants.") else 2 for name, is_counted in counts
    }


async def test_a_tenant_sees_what_is_its_own(sanic_client: LiveServer, reader: dict[str, str]) -> None:
    tenant, other = await busy(sanic_client), await busy(sanic_client, 2)
    mine = await as_tenant(sanic_client, tenant.tenant_id)
    both = """query($slug: String) { activationCodes(tenantSlug: $slug) { nodes { id } }
      devices(tenantSlug: $slug) { nodes { id } } }"""
    theirs = await data(sanic_client, reader, both, slug=other.slug)
    code, device = (theirs[name]["nodes"][0]["id"] for name in ("activationCodes", "devices"))

    found = await data(
        sanic_client,
        mine,
        """query($slug: String!, $code: ID!, $device: ID!) { tenant { slug subscription { plan { name } } }
        other: tenant(slug: $slug) { id } activationCode(id: $code) { hint } device(id: $device) { label }
        activationCodes { nodes { tenant { slug } } } }""",
        slug=other.slug,
        code=code,
        device=device,
    )

    assert found["tenant"] == {"slug": tenant.slug, "subscription": {"plan": {"name": tenant.plan}}}
    assert (found["other"], found["activationCode"], found["device"]) == (None, None, None)
    assert {node["tenant"]["slug"] for node in found["activationCodes"]["nodes"]} == {tenant.slug}
    for name in ("activationCodes", "devices"):
        document = f"query($slug: String) {{ {name}(tenantSlug: $slug) {{ nodes {{ id }} }} }}"
        for slug in (other.slug, "nobody"):
            error = await refusal(sanic_client, mine, document, slug=slug)
            assert (error["extensions"]["code"], error["path"]) == ("tenant_mismatch", [name])


async def test_what_is_wrong_with_a_page_is_told(sanic_client: LiveServer, reader: dict[str, str]) -> None:
    tenant = await licensed(sanic_client)
    found = await data(sanic_client, reader, "{ tenants { edges { cursor } } }")
    age = found["tenants"]["edges"][0]["cursor"]
    here = f'{{ tenant(slug: "{tenant.slug}") {{'
    wrong = [
        ("{ devices(first: -1) { nodes { id } } }", "first"),
        ('{ devices(after: "x") { nodes { id } } }', "after"),
        (f'{{ devices(after: "{age}") {{ nodes {{ id }} }} }}', "after"),
        ('{ device(id: "x") { id } }', "id"),
        (f'{here} usage(since: "2020-01-01") {{ nodes {{ day }} }} }} }}', "since"),
        (f'{here} usage(after: "x") {{ nodes {{ day }} }} }} }}', "after"),
    ]

    for document, field in wrong:
        error = await refusal(sanic_client, reader, document)
        assert error["extensions"]["code"] == "validation_error", document
        assert [one["loc"] for one in error["extensions"]["fields"]] == [[field]]


async def test_a_page_costs_what_it_may_answer(sanic_client: LiveServer, reader: dict[str, str]) -> None:
    asked = "query($n: Int!) { tenants(first: $n) { nodes { devices(first: 3) { ...Page pageInfo { endCursor } } } } }"
    fragment = " fragment Page on DeviceConnection { edges { node { tenant { slug } } } }"
    body = {"query": asked + fragment, "variables": {"n": 2}}

    answer = await sanic_client.http.post("/graphql", headers=reader, json=body)
    dear = {"query": asked.replace("first: 3", "first: 30") + fragment, "variables": {"n": 500}}
    with counted_statements(sanic_client.runtime.db) as seen:
        refused = (await sanic_client.http.post("/graphql", headers=reader, json=dear)).json()

    # A page, two tenants, each with a page that says where it ends and has three edges, nodes and tenants.
    assert answer.json()["extensions"]["cost"]["requested"] == 1 + 2 * (1 + 1 + 1 + 3 * 3)
    assert refused["errors"][0]["extensions"]["code"] == "graphql_too_costly"
    assert refused["extensions"]["cost"]["requested"] == 1 + 200 * (1 + 1 + 1 + 30 * 3)
    # Whoever asks was looked up, and nothing else.
    assert len(seen) == 1
