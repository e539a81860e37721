"""Correcting usage: a voided event leaves every sum exactly once, whoever asks at once, and stays in sight."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import orjson
from httpx2 import Response
from sqlalchemy import func, select, update
from support.admin import as_operator, as_tenant
from support.builders import Activated, activated, licensed, report, run_event
from support.clocks import MovableClock
from support.live import LiveServer
from support.refusals import Findings, refusal
from support.rows import change, row_counts, rows, told

from app.calendar import day_of
from app.services.upkeep.months import fold_runs
from app.services.upkeep.usage import check_rollups
from sql.tables import (
    ledger_reservations,
    monthly_runs,
    plans,
    run_changes,
    usage_events,
    usage_rollups,
)


async def void(live: LiveServer, slug: str, headers: dict[str, str], *ids: str) -> Response:
    """The answer to voiding events."""
    return await live.http.post(f"/usage/{slug}/events/void", headers=headers, json={"ids": list(ids)})


async def runs_of(live: LiveServer, device: Activated, month: str = "") -> int:
    """The runs of a month, as the device sees them."""
    query = {"month": month} if month else {}
    return int(
        (await live.http.get(f"/usage/{device.tenant.slug}", headers=device.headers, params=query)).json()["runs"]
    )


async def is_right(live: LiveServer, clock: MovableClock) -> bool:
    """Whether every sum equals its events that count: by day, by month, and after the fold; looked at tomorrow."""
    await fold_runs(live.ctx)
    clock.move(days=1)
    found = await check_rollups(live.ctx)
    clock.move(days=-1)
    kept = {(row.day, row.kind): (row.quantity, row.events) for row in await rows(live, usage_rollups.select())}
    counted: Counter[tuple[date, str]] = Counter()
    events: Counter[tuple[date, str]] = Counter()
    for row in await rows(live, usage_events.select().where(usage_events.c.voided_at.is_(None))):
        counted[row.day, row.kind] += row.quantity
        events[row.day, row.kind] += 1
    shown = {key: sums for key, sums in kept.items() if sums != (0, 0)}
    by_hand = {key: (counted[key], events[key]) for key in counted}
    return (found["differences"], found["month_differences"]) == (0, 0) and shown == by_hand


async def test_a_voided_event_leaves_the_sums_and_stays_in_sight(sanic_client: LiveServer, clock: MovableClock) -> None:
    device = await activated(sanic_client)
    await report(
        sanic_client, device, run_event("a", 5, metadata={"job": 1}), run_event("b", 2), run_event("c", 9, kind="page")
    )
    operator = await as_operator(sanic_client)

    answer = await void(sanic_client, device.tenant.slug, operator, "a", "c", "nobody's", "a")

    assert (answer.status_code, {name: count for name, count in answer.json().items() if name != "events"}) == (
        200,
        {"voided": 2, "already_voided": 0, "refused": 0, "unknown": 1},
    )
    assert [(event["id"], event["status"]) for event in answer.json()["events"]] == [
        ("a", "voided"),
        ("c", "voided"),
        ("nobody's", "unknown"),
    ]
    assert await runs_of(sanic_client, device) == 2
    assert await is_right(sanic_client, clock)
    ((runs,),) = await rows(sanic_client, select(monthly_runs.c.runs).where(monthly_runs.c.runs != 0))
    assert runs == 2
    path = f"/usage/{device.tenant.slug}/events"
    seen = (await sanic_client.http.get(path, headers=operator, params={"voided": "true"})).json()["events"]
    assert [(event["id"], event["quantity"], event["voided_by"]) for event in seen] == [
        ("a", 5, "token tests as owner"),
        ("c", 9, "token tests as owner"),
    ]
    assert seen[0]["metadata"] == {"job": 1}
    assert all(datetime.fromisoformat(event["voided_at"]) for event in seen)
    event = (await told(sanic_client, device.tenant.tenant_id))[-1]
    assert (event.event_type, event.actor_name) == ("usage_voided", "token tests as owner")
    assert orjson.loads(event.metadata) == {
        "slug": device.tenant.slug,
        "ids": ["a", "c"],
        "quantities": {"run": 5, "page": 9},
    }


async def test_to_void_twice_is_to_void_once_and_the_id_is_not_free_again(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    device = await activated(sanic_client)
    await report(sanic_client, device, run_event("a", 5), run_event("b"))
    operator = await as_operator(sanic_client)

    first, second = [await void(sanic_client, device.tenant.slug, operator, "a") for _ in range(2)]
    again = await report(sanic_client, device, run_event("a", 5), run_event("a", 4))

    assert (first.json()["voided"], second.json()["already_voided"], second.json()["voided"]) == (1, 1, 0)
    assert [event["status"] for event in again.json()["events"]] == ["duplicate", "differing"]
    assert all("voided" in event["detail"] for event in again.json()["events"])
    assert await runs_of(sanic_client, device) == 1
    assert await is_right(sanic_client, clock)
    assert [event.event_type for event in await told(sanic_client)].count("usage_voided") == 1


async def test_who_may_void_is_the_plans_to_say(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    other = await activated(sanic_client)
    slug = device.tenant.slug
    session = await as_tenant(sanic_client, device.tenant.tenant_id)
    await report(sanic_client, device, run_event("a"), run_event("b"))
    await report(sanic_client, other, run_event("a"))

    refused = [await void(sanic_client, slug, headers, "a") for headers in (device.headers, session)]
    refused += [await void(sanic_client, other.tenant.slug, device.headers, "a")]
    refused += [await void(sanic_client, slug, await as_operator(sanic_client, "read_only"), "a")]
    await change(sanic_client, update(plans).where(plans.c.name == device.tenant.plan).values(tenant_may_void=True))
    allowed = [
        await void(sanic_client, slug, device.headers, "a"),
        await void(sanic_client, slug, session, "b"),
    ]

    assert [(answer.status_code, answer.json()["errorCode"]) for answer in refused] == [
        (403, "voiding_not_permitted"),
        (403, "voiding_not_permitted"),
        (403, "tenant_mismatch"),
        (403, "permission_missing"),
    ]
    assert [(answer.status_code, answer.json()["voided"]) for answer in allowed] == [(200, 1), (200, 1)]
    assert await runs_of(sanic_client, other) == 1


async def test_a_run_that_the_portal_has_counted_is_not_the_tenants_to_void(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await change(sanic_client, update(plans).values(tenant_may_void=True))
    reservation = {
        "request_id": "counted",
        "unit": "runs",
        "amount": 1,
        "accounts": "[]",
        "state": "released",
        "used": 0,
    }
    await change(sanic_client, ledger_reservations.insert().values(**reservation, created_at=sanic_client.ctx.now()))
    await report(sanic_client, device, run_event("run-counted"), run_event("run-mine"))

    answer = await void(sanic_client, device.tenant.slug, device.headers, "run-counted", "run-mine")
    by_operator = await void(sanic_client, device.tenant.slug, await as_operator(sanic_client), "run-counted")

    assert [(event["status"], bool(event["detail"])) for event in answer.json()["events"]] == [
        ("refused", True),
        ("voided", False),
    ]
    assert by_operator.json()["voided"] == 1


async def test_what_names_no_events_is_refused(sanic_client: LiveServer) -> None:
    tenant, headers = await licensed(sanic_client), await as_operator(sanic_client)
    before = await row_counts(sanic_client)
    findings = Findings()

    for ids in ([], [""], ["x" * 101], ["\0"], "a", [1], [f"{n}" for n in range(1001)]):
        answer = await sanic_client.http.post(f"/usage/{tenant.slug}/events/void", headers=headers, json={"ids": ids})
        status, code, places = refusal(answer, "errors")
        found = (status, code, [place[:2] for place in places[:1]])
        findings.add(ids, found, (422, "validation_error", [["body", "ids"]]))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_voiding_races_with_voiding_reporting_and_folding(sanic_client: LiveServer, clock: MovableClock) -> None:
    """Overlapping ids in both orders, so that locks that were taken in the order of a request would deadlock."""
    device = await activated(sanic_client)
    slug, operator = device.tenant.slug, await as_operator(sanic_client)
    ids = [f"e-{n:02}" for n in range(30)]
    await report(sanic_client, device, *(run_event(name, place + 1) for place, name in enumerate(ids)))

    async def void_all(order: list[str]) -> int:
        return int((await void(sanic_client, slug, operator, *order)).json()["voided"])

    async def report_more(start: int) -> int:
        answer = await report(sanic_client, device, *(run_event(f"more-{start}-{n}") for n in range(5)))
        return int(answer.json()["accepted"])

    voided = asyncio.gather(*(void_all(order) for order in (ids[:20], ids[19:4:-1], ids[10:], ids[::-1], ids[:1]) * 2))
    more = asyncio.gather(*(report_more(start) for start in range(10)))
    folds = asyncio.gather(*(fold_runs(sanic_client.ctx) for _ in range(5)))

    assert (sum(await voided), sum(await more), len(await folds)) == (30, 50, 5)
    assert await runs_of(sanic_client, device) == 50
    assert await is_right(sanic_client, clock)
    ((events,),) = await rows(
        sanic_client, select(func.count()).select_from(usage_events).where(usage_events.c.voided_at.is_not(None))
    )
    assert events == 30
    told_ids = [
        name
        for event in await told(sanic_client, device.tenant.tenant_id)
        if event.event_type == "usage_voided"
        for name in orjson.loads(event.metadata)["ids"]
    ]
    assert sorted(told_ids) == ids


async def test_a_month_that_has_ended_is_corrected_too(sanic_client: LiveServer, clock: MovableClock) -> None:
    """Its rows of the operators' list are gone by then; the sums of its days are not."""
    device = await activated(sanic_client)
    zone = sanic_client.runtime.zone
    first = day_of(datetime.now(UTC), zone).replace(day=1)
    clock.move(seconds=(datetime(first.year, first.month, 2, 12, tzinfo=zone) - clock.now()).total_seconds())
    before = first - timedelta(days=1)
    at = datetime(before.year, before.month, before.day, 12, tzinfo=zone).isoformat()
    device = await activated(sanic_client)
    await report(sanic_client, device, run_event("late", 4, at=at), run_event("kept", 2, at=at), run_event("now", 7))
    await report(sanic_client, device, run_event("page", 3, at=at, kind="page"))
    await fold_runs(sanic_client.ctx)

    await void(sanic_client, device.tenant.slug, await as_operator(sanic_client), "late", "page")

    assert await fold_runs(sanic_client.ctx) == 1
    assert not await rows(sanic_client, run_changes.select())
    month = f"{before:%Y-%m}"
    past = await sanic_client.http.get(f"/usage/{device.tenant.slug}", headers=device.headers, params={"month": month})
    assert (past.json()["year"], past.json()["month"], past.json()["runs"]) == (before.year, before.month, 2)
    assert past.json()["kinds"] == [{"kind": "run", "quantity": 2, "events": 1}]
    assert past.json()["days"] == [{"day": before.isoformat(), "kind": "run", "quantity": 2, "events": 1}]
    assert await runs_of(sanic_client, device) == await runs_of(sanic_client, device, f"{first:%Y-%m}") == 7
    assert await is_right(sanic_client, clock)


NO_MONTHS = ("2026", "2026-13", "2026-1", "10-2026", "2026-10-01", "1969-12", "9999-12", "", "now")


async def test_what_is_no_month_is_told_in_words(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    findings = Findings()

    for month in NO_MONTHS:
        path, query = f"/usage/{device.tenant.slug}", {"month": month}
        answer = await sanic_client.http.get(path, headers=device.headers, params=query)
        words = [wrong["msg"] for wrong in answer.json().get("errors", ())]
        findings.add(month, (answer.status_code, words), (422, ["must be a month such as 2026-10"]))

    assert findings.found == findings.expected


async def test_stored_events_are_read_page_by_page(sanic_client: LiveServer) -> None:
    device, other = await activated(sanic_client), await activated(sanic_client)
    await report(sanic_client, device, *(run_event(f"e-{n}") for n in range(7)))
    await report(sanic_client, other, run_event("e-other"))
    session = await as_tenant(sanic_client, device.tenant.tenant_id)
    path = f"/usage/{device.tenant.slug}/events"

    found, after = [], ""
    while after is not None:
        page = (await sanic_client.http.get(path, headers=session, params={"page_size": "3", "after": after})).json()
        found += [event["id"] for event in page["events"]]
        after = page["next_after"]
    one = (await sanic_client.http.get(path, headers=session, params={"id": "e-3"})).json()
    of_device = await sanic_client.http.get(path, headers=device.headers)

    assert found == [f"e-{n}" for n in range(7)]
    assert [(event["id"], event["voided_at"], event["device_id"]) for event in one["events"]] == [
        ("e-3", None, device.device_id)
    ]
    assert of_device.status_code == 401
