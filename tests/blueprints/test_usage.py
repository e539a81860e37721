"""Metering: every event once, sums that equal their events, and months that begin where the installation stands."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import orjson
import pytest
from support.builders import Activated, activated, licensed, report, run_event, subscribe
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.refusals import Findings, invalid, refusal
from support.rows import rows
from support.statements import asked_together, counted_statements

from app.services.usage.metering import INGESTS
from app.settings import Settings
from sql.tables import usage_events, usage_rollups

INDIA = timezone(timedelta(hours=5, minutes=30))


async def summary(live: LiveServer, device: Activated) -> dict[str, object]:
    """The month as the device sees it."""
    return (await live.http.get(f"/usage/{device.tenant.slug}", headers=device.headers)).json()


async def sums(live: LiveServer) -> dict[tuple[str, str], tuple[int, int]]:
    """Quantity and number of events by day and kind, as the database keeps them."""
    return {
        (row.day.isoformat(), row.kind): (row.quantity, row.events) for row in await rows(live, usage_rollups.select())
    }


async def test_reported_events_count_in_the_month(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    answer = await report(sanic_client, device, run_event("a", 2), run_event("b"))

    assert (answer.status_code, answer.json()) == (
        200,
        {
            "accepted": 2,
            "duplicate": 0,
            "differing": 0,
            "rejected": 0,
            "events": [
                {"id": name, "status": "accepted", "detail": None, "stored": None, "sent": None} for name in ("a", "b")
            ],
        },
    )
    now = datetime.now(UTC)
    assert await summary(sanic_client, device) == {
        "tenant": device.tenant.slug,
        "year": now.year,
        "month": now.month,
        "runs": 3,
        "quota": 50,
        "plan": device.tenant.plan,
        "kinds": None,
        "days": None,
    }


async def test_only_runs_count_towards_the_quota(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    await report(sanic_client, device, run_event("a", 2), run_event("b", 40, kind="tokens.input"))

    assert (await summary(sanic_client, device))["runs"] == 2


async def test_ingest_goes_on_beyond_the_quota_and_without_a_subscription(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client, await licensed(sanic_client, quota=1))
    await subscribe(sanic_client, device.tenant, "canceled")

    answer = await report(sanic_client, device, run_event("a", 10**12))

    assert answer.json()["accepted"] == 1
    month = await summary(sanic_client, device)
    assert (month["runs"], month["quota"]) == (10**12, 1)


async def test_an_event_that_is_sent_again_counts_once(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await report(sanic_client, device, run_event("a", 5))

    answer = await report(sanic_client, device, run_event("a", 5), run_event("b"))

    assert [event["status"] for event in answer.json()["events"]] == ["duplicate", "accepted"]
    assert (await summary(sanic_client, device))["runs"] == 6


async def test_an_id_twice_in_one_request_counts_once(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    answer = await report(sanic_client, device, run_event("a", 5), run_event("b"), run_event("a", 5))

    assert [event["status"] for event in answer.json()["events"]] == ["accepted", "accepted", "duplicate"]
    assert (await summary(sanic_client, device))["runs"] == 6


async def test_a_known_id_with_other_content_is_told_with_both_and_never_silently(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await report(sanic_client, device, run_event("a", 5))

    first = run_event("b", 2)
    other_kind, other_quantity = run_event("a", 5, kind="page"), run_event("b", 3)
    answer = await report(sanic_client, device, run_event("a", 7), first, other_kind, other_quantity, first)

    told = answer.json()
    assert (answer.status_code, told["accepted"], told["differing"], told["duplicate"]) == (200, 1, 3, 1)
    statuses = [event["status"] for event in told["events"]]
    assert statuses == ["differing", "accepted", "differing", "differing", "duplicate"]
    assert [(event["stored"], event["sent"]) for event in told["events"] if event["status"] == "differing"] == [
        ({"kind": "run", "quantity": 5}, {"kind": "run", "quantity": 7}),
        ({"kind": "run", "quantity": 5}, {"kind": "page", "quantity": 5}),
        ({"kind": "run", "quantity": 2}, {"kind": "run", "quantity": 3}),
    ]
    assert all("id" in event["detail"] for event in told["events"] if event["status"] == "differing")
    assert (await summary(sanic_client, device))["runs"] == 7


async def test_an_id_in_many_requests_at_once_is_accepted_by_one(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    answers = await asyncio.gather(*(report(sanic_client, device, run_event("a", 2)) for _ in range(50)))

    outcomes = Counter(answer.json()["events"][0]["status"] for answer in answers)
    assert outcomes == {"accepted": 1, "duplicate": 49}
    assert (await summary(sanic_client, device))["runs"] == 2


async def test_tenants_may_use_the_same_ids(sanic_client: LiveServer) -> None:
    first, second = [await activated(sanic_client, await licensed(sanic_client)) for _ in range(2)]

    answers = await asyncio.gather(*(report(sanic_client, device, run_event("a")) for device in (first, second)))

    assert [answer.json()["accepted"] for answer in answers] == [1, 1]


async def test_an_event_out_of_time_is_rejected_by_itself(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    now = datetime.now(UTC)
    moments = {
        "soon": now + timedelta(seconds=290),
        "future": now + timedelta(seconds=320),
        "far": datetime.max.replace(tzinfo=UTC),
        "old": now - timedelta(days=34, hours=23),
        "too old": now - timedelta(days=35, seconds=60),
        "ancient": datetime.min.replace(tzinfo=UTC),
    }

    answer = await report(
        sanic_client, device, *(run_event(name, at=moment.isoformat()) for name, moment in moments.items())
    )

    body = answer.json()
    assert {event["id"]: event["status"] for event in body["events"]} == {
        "soon": "accepted",
        "future": "rejected",
        "far": "rejected",
        "old": "accepted",
        "too old": "rejected",
        "ancient": "rejected",
    }
    assert (body["accepted"], body["rejected"]) == (2, 4)
    assert all(event["detail"] for event in body["events"] if event["status"] == "rejected")
    assert len(await rows(sanic_client, usage_events.select())) == 2


async def test_a_request_of_which_every_event_is_rejected_is_no_success(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    answer = await report(sanic_client, device, run_event("a", at=ahead), run_event("b", at=ahead))

    told = answer.json()
    assert (answer.status_code, told["errorCode"]) == (422, "events_rejected")
    assert (told["accepted"], told["duplicate"], told["differing"], told["rejected"]) == (0, 0, 0, 2)
    assert [(event["id"], event["status"]) for event in told["events"]] == [("a", "rejected"), ("b", "rejected")]
    assert "set the device's clock" in told["detail"]
    assert (await report(sanic_client, device, run_event("a"), run_event("b", at=ahead))).status_code == 200


async def test_a_rejected_id_may_be_sent_again_in_order(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    answer = await report(sanic_client, device, run_event("a", at=ahead), run_event("a"))

    assert [event["status"] for event in answer.json()["events"]] == ["rejected", "accepted"]


async def test_an_offset_is_understood(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    moment = datetime.now(UTC).replace(microsecond=123456) - timedelta(days=3)

    await report(sanic_client, device, run_event("a", at=moment.astimezone(INDIA).isoformat()))

    (stored,) = await rows(sanic_client, usage_events.select())
    assert stored.at == moment
    assert stored.received_at.tzinfo is not None


WRONG = {
    "id missing": ({"id": None}, "id"),
    "id empty": ({"id": ""}, "id"),
    "id long": ({"id": "x" * 101}, "id"),
    "id with NUL": ({"id": "a\0b"}, "id"),
    "kind in capitals": ({"kind": "Run"}, "kind"),
    "kind long": ({"kind": "r" * 51}, "kind"),
    "kind with a line end": ({"kind": "run\n"}, "kind"),
    "quantity zero": ({"quantity": 0}, "quantity"),
    "quantity negative": ({"quantity": -1}, "quantity"),
    "quantity too large": ({"quantity": 10**12 + 1}, "quantity"),
    "quantity beyond any integer": ({"quantity": 10**400}, "quantity"),
    "quantity a fraction": ({"quantity": 1.5}, "quantity"),
    "quantity a text": ({"quantity": "1"}, "quantity"),
    "quantity a truth": ({"quantity": True}, "quantity"),
    "at without an offset": ({"at": "2026-01-01T00:00:00"}, "at"),
    "at a day": ({"at": "2026-01-01"}, "at"),
    "at a number": ({"at": 1767225600}, "at"),
    "at a number in quotes": ({"at": "1767225600"}, "at"),
    "at a fraction in quotes": ({"at": "1767225600.5"}, "at"),
    "at before the epoch in quotes": ({"at": "-1767225600"}, "at"),
    "at a truth": ({"at": True}, "at"),
    "at no time": ({"at": "yesterday"}, "at"),
    "metadata a list": ({"metadata": []}, "metadata"),
    "metadata too large": ({"metadata": {"text": "x" * 4096}}, "metadata"),
    "metadata with a huge integer": ({"metadata": {"number": 10**30}}, "metadata"),
}


async def test_a_malformed_event_refuses_the_request_and_names_the_field(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    refused = {
        name: (await report(sanic_client, device, run_event("good"), run_event("bad") | wrong)).json()
        for name, (wrong, _) in WRONG.items()
    }

    assert {name: (body["status"], body["errorCode"]) for name, body in refused.items()} == dict.fromkeys(
        WRONG, (422, "validation_error")
    )
    assert {name: body["detail"][0]["loc"] for name, body in refused.items()} == {
        name: ["body", "events", 1, field] for name, (_, field) in WRONG.items()
    }
    assert not await rows(sanic_client, usage_events.select())


async def test_metadata_that_is_no_json_is_refused_by_its_field(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    path, headers = f"/usage/{device.tenant.slug}/events", {**device.headers, "content-type": "application/json"}
    findings = Findings()
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999"):
        for metadata in (f'{{"a": {number}}}', f'{{"a": [1, {{"b": [{number}]}}]}}'):
            body = f'{{"events": [{{"id": "a", "kind": "run", "quantity": 1, "metadata": {metadata}}}]}}'
            answer = await sanic_client.http.post(path, headers=headers, content=body)
            found = (refusal(answer, "errors"), "finite" in answer.text)
            findings.add(metadata, found, (invalid("body", "events", 0, "metadata"), True))

    assert findings.found == findings.expected
    assert not await rows(sanic_client, usage_events.select())


async def test_a_request_holds_one_to_a_thousand_events(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    none = await report(sanic_client, device)
    most = await report(sanic_client, device, *(run_event(f"event-{n}") for n in range(1000)))
    more = await report(sanic_client, device, *(run_event(f"other-{n}") for n in range(1001)))

    assert [answer.status_code for answer in (none, most, more)] == [422, 200, 422]
    assert most.json()["accepted"] == 1000
    assert await sums(sanic_client) == {(datetime.now(UTC).date().isoformat(), "run"): (1000, 1000)}


async def test_metadata_is_kept_as_it_was_sent(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    metadata = {"text": "ü\0'\"\\", "deep": {"list": [1, 2.5, None, True]}, "at the limit": "x" * 4000}

    answer = await report(sanic_client, device, run_event("a", metadata=metadata), run_event("b", metadata={}))

    assert answer.json()["accepted"] == 2
    stored = {row.event_id: row.metadata for row in await rows(sanic_client, usage_events.select())}
    assert {event: orjson.loads(text) for event, text in stored.items()} == {"a": metadata, "b": {}}


async def test_another_tenant_is_refused_whether_it_exists_or_not(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    other = await licensed(sanic_client)

    answers = [
        await report(sanic_client, device, run_event("a"), slug=other.slug),
        await report(sanic_client, device, run_event("a"), slug="nobody"),
        await sanic_client.http.get(f"/usage/{other.slug}", headers=device.headers),
    ]

    assert [(answer.status_code, answer.json()["errorCode"]) for answer in answers] == [(403, "tenant_mismatch")] * 3
    assert not await rows(sanic_client, usage_events.select())


async def test_without_a_token_nothing_else_is_looked_at(sanic_client: LiveServer) -> None:
    answers = [
        await sanic_client.http.post("/usage/nobody/events", content=b"not json"),
        await sanic_client.http.post("/usage/nobody/events", content=b"x" * 5_000_000),
        await sanic_client.http.get("/usage/nobody"),
    ]

    assert [(answer.status_code, answer.json()["errorCode"]) for answer in answers] == [(401, "token_missing")] * 3


async def test_single_events_at_once_share_statements(sanic_client: LiveServer) -> None:
    """Of four devices, since one that asks faster than its pace would wait for its turns."""
    runtime = sanic_client.runtime
    tenant = await licensed(sanic_client, max_uses=4)
    devices = [await activated(sanic_client, tenant, f"hardware-{n}") for n in range(4)]

    with asked_together(runtime, INGESTS, 100) as shared, counted_statements(runtime.db) as statements:
        answers = await asyncio.gather(*(report(sanic_client, devices[n % 4], run_event(f"e-{n}")) for n in range(100)))

    inserts = [statement for statement in statements if "INSERT" in statement]
    assert sum(answer.json()["accepted"] for answer in answers) == 100
    assert 1 <= len(inserts) <= shared
    assert len(set(inserts)) == 1
    assert await sums(sanic_client) == {(datetime.now(UTC).date().isoformat(), "run"): (100, 100)}


@pytest.mark.parametrize("time_zone", ["Pacific/Auckland", "America/St_Johns"])
async def test_a_month_begins_where_the_installation_stands(
    settings: Settings, clock: MovableClock, time_zone: str
) -> None:
    zone = ZoneInfo(time_zone)
    last_month = datetime.now(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    next_month = (last_month + timedelta(days=40)).replace(day=1)
    clock.move(seconds=(next_month.astimezone(UTC) + timedelta(minutes=30) - clock.now()).total_seconds())

    async with live_server(settings.model_copy(update={"time_zone": time_zone}), clock) as live:
        device = await activated(live)
        await report(
            live,
            device,
            run_event("before", 1, at=(next_month - timedelta(minutes=1)).isoformat()),
            run_event("begin", 10, at=next_month.isoformat()),
            run_event("now", 100),
        )
        month = await summary(live, device)
        kept = await sums(live)

    assert (month["year"], month["month"], month["runs"]) == (next_month.year, next_month.month, 110)
    assert {day: quantity for (day, _), (quantity, _) in kept.items()} == {
        (next_month - timedelta(days=1)).date().isoformat(): 1,
        next_month.date().isoformat(): 110,
    }
