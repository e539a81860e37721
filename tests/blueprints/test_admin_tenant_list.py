"""Operators list tenants: in any order, by search and state, with totals that are true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, update
from support.admin import TENANT_KEYS, Admin
from support.builders import activated, licensed, subscribe
from support.clocks import MovableClock
from support.rows import change, named, row_counts
from support.statements import counted_statements

from app.services.upkeep.statistics import fold_statistics
from sql.tables import activation_codes, subscriptions, tenants


async def test_an_empty_list_has_one_page(admin: Admin) -> None:
    assert await admin.tenants() == {
        "items": [],
        "total": 0,
        "totalIsCapped": False,
        "page": 1,
        "pageSize": 10,
        "totalPages": 1,
    }


async def test_tenants_are_listed_newest_first_page_by_page(admin: Admin, plan: str) -> None:
    await admin.admit("one", "two", "three")

    first, second = [await admin.tenants(page=page, page_size=2) for page in (1, 2)]

    assert [tenant["slug"] for tenant in first["items"] + second["items"]] == ["three", "two", "one"]
    assert (first["total"], first["totalPages"], first["page"], second["page"], second["pageSize"]) == (3, 2, 1, 2, 2)
    assert first["items"][0].keys() == TENANT_KEYS
    assert (await admin.tenants(page_size=1000))["pageSize"] == 1000


async def test_every_order_is_total(admin: Admin, plan: str, clock: MovableClock) -> None:
    for slug in ("bee", "ant", "cow"):
        await admin.admit(slug)
        clock.move(minutes=1)
    await change(admin.live, update(tenants).values(**named("same")))
    await admin.ask("PUT", "/tenants/bee", json={"name": "zebra"})

    assert await admin.slugs(sort_field="slug", sort_direction="asc") == ["ant", "bee", "cow"]
    assert await admin.slugs(sort_field="slug", sort_direction="desc") == ["cow", "bee", "ant"]
    assert await admin.slugs(sort_field="name", sort_direction="asc") == ["cow", "ant", "bee"]
    assert await admin.slugs(sort_field="name", sort_direction="desc") == ["bee", "cow", "ant"]
    assert await admin.slugs(sort_field="created_at", sort_direction="asc") == ["bee", "ant", "cow"]
    assert await admin.slugs(sort_field="updated_at", sort_direction="desc") == ["bee", "cow", "ant"]
    assert await admin.slugs(sort_field="updated_at", sort_direction="asc") == ["ant", "cow", "bee"]


async def test_a_search_finds_a_part_of_name_or_slug_in_any_case(admin: Admin, plan: str) -> None:
    await admin.admit("amber-wolf", "blue-wolf", "grey-fox")
    await admin.ask("PUT", "/tenants/grey-fox", json={"name": "100% WOLFISH_ones"})

    found = {
        text: sorted(await admin.slugs(search=text))
        for text in ("wolf", "WOLFISH", "fox", "0%", "%", "_", "h_o", "no such", "r-w")
    }

    assert found == {
        "wolf": ["amber-wolf", "blue-wolf", "grey-fox"],
        "WOLFISH": ["grey-fox"],
        "fox": ["grey-fox"],
        "0%": ["grey-fox"],
        "%": ["grey-fox"],
        "_": ["grey-fox"],
        "h_o": ["grey-fox"],
        "no such": [],
        "r-w": ["amber-wolf"],
    }
    assert (await admin.tenants(search="wolf", page_size=1))["total"] == 3


async def test_each_word_of_a_search_must_be_there_in_its_place(admin: Admin, plan: str) -> None:
    await admin.admit("amber-wolf", "wolf-amber", "amber-fox")
    await admin.ask("PUT", "/tenants/amber-fox", json={"name": "Wolf of AMBER 100%_off"})

    found = {
        text: sorted(await admin.slugs(search=text))
        for text in ("amber-wolf", "wolf of amber", "amber wolf", "Amber 100%_o", "amber 100__off", "wolf-amber-fox")
    }

    assert found == {
        "amber-wolf": ["amber-wolf"],
        "wolf of amber": ["amber-fox"],
        "amber wolf": [],
        "Amber 100%_o": ["amber-fox"],
        "amber 100__off": [],
        "wolf-amber-fox": [],
    }


async def test_a_status_finds_the_tenants_in_it(admin: Admin) -> None:
    by_state = {
        state: (await licensed(admin.live, state=state)).slug
        for state in ("active", "past_due", "canceled", "unpaid", "trialing", "suspended", None)
    }

    found = {state: await admin.slugs(status=state or "none") for state in by_state}

    assert found == {state: [slug] for state, slug in by_state.items()}
    for sort_field in ("name", "slug", "updated_at", "usage_current"):
        assert await admin.slugs(status="none", sort_field=sort_field) == [by_state[None]]
        assert await admin.slugs(status="unpaid", sort_field=sort_field, search="tenant") == [by_state["unpaid"]]


async def test_a_status_is_that_of_the_subscription_that_has_not_ended(admin: Admin, clock: MovableClock) -> None:
    tenant = await licensed(admin.live, state="active")

    async def found() -> list[str]:
        states = ("active", "canceled", "none")
        return [state for state in states if await admin.slugs(status=state) == [tenant.slug]]

    seen = [await found()]
    for statement in (
        update(subscriptions).values(state="canceled"),
        update(subscriptions).values(ended_at=clock.now()),
        update(subscriptions).values(ended_at=None, state="active"),
        delete(subscriptions),
    ):
        await change(admin.live, statement)
        seen.append(await found())

    assert seen == [["active"], ["canceled"], ["none"], ["active"], ["none"]]


async def test_the_total_of_a_status_follows_every_change(admin: Admin) -> None:
    there = [await licensed(admin.live, state=state) for state in ("active", "unpaid", "unpaid", None)]

    async def totals() -> list[int]:
        return [(await admin.tenants(status=status))["total"] for status in ("active", "unpaid", "none")]

    before = await totals()
    await subscribe(admin.live, there[1], "active")
    await admin.ask("DELETE", f"/tenants/{there[2].slug}", 204)
    await admin.ask("DELETE", f"/tenants/{there[3].slug}", 204)
    after = await totals()
    await fold_statistics(admin.live.ctx)

    assert (before, after, await totals()) == ([1, 2, 1], [2, 0, 0], [2, 0, 0])


@pytest.mark.parametrize(
    "query",
    [
        {"page": 0},
        {"page": 10**12},
        {"page_size": 0},
        {"page_size": 1001},
        {"search": "s" * 201},
        {"status": "gone"},
        {"sort_field": "email"},
        {"sort_direction": "up"},
        {"page": "x"},
    ],
)
async def test_a_wrong_query_is_refused(admin: Admin, query: dict[str, Any]) -> None:
    answer = await admin.ask("GET", "/tenants", 422, params=query)

    assert answer["detail"][0]["loc"] == ["query", next(iter(query))]


async def test_a_page_takes_the_same_statements_whatever_is_on_it(admin: Admin, plan: str) -> None:
    seen: dict[str, set[int]] = {}
    for wanted in (1, 50):
        have = (await row_counts(admin.live))["tenants"]
        now = datetime.now(UTC)
        fresh = [
            {"name": f"T {number}", "slug": f"tenant-{number}", "created_at": now, "updated_at": now}
            for number in range(have, wanted)
        ]
        async with admin.live.ctx.write() as conn:
            await conn.insert_all(insert(tenants), fresh)
        queries: list[dict[str, Any]] = [{}, {"sort_field": "usage"}, {"search": "tenant-"}, {"status": "none"}]
        queries.append({"search": "tenant-", "sort_field": "usage"})
        for query in queries:
            with counted_statements(admin.live.runtime.db) as statements:
                assert len((await admin.tenants(page_size=1000, **query))["items"]) == wanted
            seen.setdefault(str(query), set()).add(len(statements))

    # The token and the page with its total; whether the month is opened; what is found.
    assert seen == {
        "{}": {2},
        "{'sort_field': 'usage'}": {3},
        "{'search': 'tenant-'}": {3},
        "{'status': 'none'}": {2},
        "{'search': 'tenant-', 'sort_field': 'usage'}": {4},
    }


async def test_a_page_behind_the_last_has_the_total_all_the_same(admin: Admin, plan: str) -> None:
    await admin.admit("one", "two")

    for query in ({}, {"search": "o"}, {"status": "active"}, {"sort_field": "usage"}, {"sort_field": "slug"}):
        behind = await admin.tenants(page=9, **query)
        assert (behind["items"], behind["total"], behind["totalPages"]) == ([], 2, 1), query


async def test_a_filtered_total_is_capped(admin: Admin) -> None:
    now = datetime.now(UTC)
    fresh = [
        {"name": "many", "slug": f"many-{number}", "created_at": now, "updated_at": now} for number in range(10_001)
    ]
    async with admin.live.ctx.write() as conn:
        await conn.insert_all(insert(tenants), fresh)

    found = await admin.tenants(search="many", page_size=1000, page=11)
    everybody = await admin.tenants()

    assert (found["total"], found["totalIsCapped"], found["totalPages"], len(found["items"])) == (10_000, True, 10, 1)
    assert (everybody["total"], everybody["totalIsCapped"]) == (10_001, False)


async def test_the_total_stays_true_when_it_is_folded(admin: Admin, plan: str) -> None:
    await admin.admit("one", "two", "three")
    await admin.ask("DELETE", "/tenants/two", 204)
    await fold_statistics(admin.live.ctx)
    await admin.admit("four")

    assert (await admin.tenants())["total"] == 3
    await fold_statistics(admin.live.ctx)
    assert (await admin.tenants())["total"] == 3


async def test_codes_are_counted_in_the_month_they_were_made(admin: Admin, clock: MovableClock) -> None:
    tenant = await licensed(admin.live, codes=3)
    await activated(admin.live, tenant)
    now = clock.now()
    long_ago = now - timedelta(days=40)
    await change(
        admin.live,
        update(activation_codes).where(activation_codes.c.hint == tenant.codes[2][-4:]).values(created_at=long_ago),
    )

    shown = (await admin.tenants())["items"][0]

    assert (shown["activationCodesTotal"], shown["activationCodesUsed"]) == (2, 1)
