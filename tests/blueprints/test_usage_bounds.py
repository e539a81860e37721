"""Quantities without end: a day holds so much, what is beyond is refused by itself, and no row stops anybody else."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import insert, select, update
from support.admin import Admin, as_operator
from support.builders import Activated, activated, licensed, report, run_event
from support.live import LiveServer
from support.rows import change, rows

from app.services.ledger.accounts import account_ids, run_account
from app.services.ledger.run_quota import count_run, reserve_run
from app.services.upkeep.statistics import check_statistics, fold_statistics
from app.services.upkeep.usage import check_rollups
from sql.statements.months import open_month
from sql.sums import MAX_DAY_QUANTITY, MAX_SUM
from sql.tables import (
    llm_usage_changes,
    llm_usage_days,
    monthly_runs,
    run_changes,
    statistics_changes,
    usage_events,
    usage_rollups,
)

LARGEST = 2**63 - 1


async def fill(live: LiveServer, device: Activated, room: int) -> None:
    """Leave so much room in the running day of a device's tenant."""
    await report(live, device, run_event("first"))
    of_tenant = usage_rollups.c.tenant_id == device.tenant.tenant_id
    await change(live, update(usage_rollups).where(of_tenant).values(quantity=MAX_DAY_QUANTITY - room))


def said(answer: Any) -> list[tuple[str, str]]:
    return [(event["id"], event["status"]) for event in answer.json()["events"]]


async def test_what_would_take_a_day_beyond_its_bound_is_rejected_by_itself(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await fill(sanic_client, device, 5)
    tokens = run_event("tokens", 10**12, kind="tokens")

    some = await report(
        sanic_client, device, run_event("a", 3), run_event("b", 3), tokens, run_event("first"), run_event("c", 2)
    )
    none = await report(sanic_client, device, run_event("d"))

    assert some.status_code == 200
    assert said(some) == [
        *(("a", "accepted"), ("b", "rejected"), ("tokens", "accepted"), ("first", "duplicate"), ("c", "accepted"))
    ]
    refusal = "the day would come to more than 100000000000000000 of run; report less, or have wrong events voided"
    assert some.json()["events"][1]["detail"] == refusal
    assert (none.status_code, said(none)) == (422, [("d", "rejected")])
    assert none.json()["type"].endswith("events_rejected")
    stored = await rows(sanic_client, select(usage_rollups.c.kind, usage_rollups.c.quantity))
    assert {tuple(row) for row in stored} == {("run", MAX_DAY_QUANTITY), ("tokens", 10**12)}
    month = await sanic_client.http.get(f"/usage/{device.tenant.slug}", headers=device.headers)
    assert month.json()["runs"] == MAX_DAY_QUANTITY


async def test_others_who_report_at_the_same_moment_are_stored(sanic_client: LiveServer) -> None:
    full = await activated(sanic_client)
    await fill(sanic_client, full, 4)
    other = await activated(sanic_client, await licensed(sanic_client))

    answers = await asyncio.gather(
        *(report(sanic_client, full, run_event(f"{number}", 2)) for number in range(5)),
        *(report(sanic_client, other, run_event(f"{number}", 10**12)) for number in range(5)),
    )

    assert sorted(answer.status_code for answer in answers[:5]) == [200, 200, 422, 422, 422]
    assert [answer.status_code for answer in answers[5:]] == [200] * 5
    stored = await rows(sanic_client, select(usage_rollups.c.quantity).order_by(usage_rollups.c.quantity))
    assert [row.quantity for row in stored] == [5 * 10**12, MAX_DAY_QUANTITY]


async def test_a_run_begins_on_a_day_that_holds_no_more(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    ctx, tenant_id = sanic_client.ctx, device.tenant.tenant_id
    (account_id,) = await account_ids(ctx, [run_account(tenant_id, ctx.month().first_day)])
    async with ctx.write() as conn:
        reservations = [await reserve_run(conn, ctx, tenant_id, account_id, f"request-{number}") for number in "12"]
    await fill(sanic_client, device, 1)

    async with ctx.write() as conn:
        counted = [await count_run(conn, ctx, tenant_id, reservation) for reservation in reservations]

    assert counted == [True, True]
    stored = await rows(sanic_client, select(usage_events.c.event_id).order_by(usage_events.c.event_id))
    assert [row.event_id for row in stored] == ["first", "run-request-1"]


async def test_no_row_stops_a_fold_a_list_or_a_check(sanic_client: LiveServer) -> None:
    await change(sanic_client, open_month, month=sanic_client.ctx.month().first_day)
    devices = [await activated(sanic_client, await licensed(sanic_client)) for _ in range(2)]
    month = sanic_client.ctx.month()
    ids = [device.tenant.tenant_id for device in devices]
    for first_day in (month.first_day, month.next_day):
        row = {"tenant_id": ids[0], "month": first_day, "runs": LARGEST}
        await change(sanic_client, insert(run_changes), **row)
        await change(sanic_client, insert(run_changes), **row)
    large = update(monthly_runs).where(monthly_runs.c.tenant_id == ids[0]).values(runs=LARGEST)
    await change(sanic_client, large)
    sums = dict.fromkeys(("calls", "successes", "cached", "input_tokens", "output_tokens", "cost", "duration_ms"), 1)
    spent = {"day": month.first_day, "provider": "openai", "model": "large", **sums, "cost": LARGEST}
    for model in ("large", "large", "other"):
        await change(sanic_client, insert(llm_usage_changes), **spent | {"model": model})
    figure = {"metric": "revenue_codes", "dimension": "usd", "bucket": 4, "change": LARGEST}
    for _ in range(2):
        await change(sanic_client, insert(statistics_changes), **figure)
    await report(sanic_client, devices[1], run_event("a", 7))
    admin = Admin(sanic_client, await as_operator(sanic_client))

    for _ in range(2):
        shown = (await admin.tenants(sort_field="usage"))["items"]
        assert [tenant["slug"] for tenant in shown] == [device.tenant.slug for device in devices]
        for path in ("/dashboard/stats", "/analytics"):
            await sanic_client.http.get(f"/admin/api{path}", headers=admin.headers)
        assert (await sanic_client.http.get("/metrics")).status_code == 200
        await check_statistics(sanic_client.ctx)
        await check_rollups(sanic_client.ctx)
        await fold_statistics(sanic_client.ctx)

    assert await rows(sanic_client, run_changes.select()) == await rows(sanic_client, llm_usage_changes.select()) == []
    stored = await rows(sanic_client, select(monthly_runs.c.tenant_id, monthly_runs.c.runs))
    assert {(row.tenant_id, row.runs) for row in stored} >= {(ids[0], MAX_SUM), (ids[1], 7)}
    days = await rows(sanic_client, select(llm_usage_days.c.model, llm_usage_days.c.cost, llm_usage_days.c.calls))
    assert {tuple(row) for row in days} == {("large", MAX_SUM, 2), ("other", MAX_SUM, 1)}
