"""The audit trail: a closed set of types, written with what it tells, read without ever skipping an event."""

from __future__ import annotations

import asyncio
import os
import random

import orjson
import pytest
from support.builders import activated, licensed
from support.live import LiveServer
from support.rows import told, trail_after

from app.events import NOWHERE, Event, EventType, record

WRITERS = 24 if os.environ.get("PORTAL_PROOF") == "full" else 6
EVENTS_EACH = 40 if os.environ.get("PORTAL_PROOF") == "full" else 8


async def newest(live: LiveServer) -> tuple[int, int]:
    """The cursor behind everything that can be read."""
    trail = await told(live)
    return trail[-1].cursor if trail else NOWHERE


def fail() -> None:
    raise RuntimeError("rolled back")


def titled(title: str) -> Event:
    return Event(EventType.PLAN_UPDATED, title)


def test_the_types_are_a_closed_set() -> None:
    assert {event.value: event.severity for event in EventType} == {
        "alert_dismissed": "minor",
        "api_token_created": "major",
        "api_token_revoked": "major",
        "billing_repaired": "major",
        "code_activated": "minor",
        "code_assigned": "minor",
        "code_generated": "major",
        "code_revoked": "major",
        "config_updated": "minor",
        "contact_change_refused": "major",
        "contact_change_requested": "major",
        "delivery_failed": "major",
        "device_cloned": "major",
        "device_enrolled": "minor",
        "device_idle": "minor",
        "device_reactivated": "minor",
        "device_reinstated": "minor",
        "device_released": "minor",
        "device_returned": "minor",
        "device_revoked": "minor",
        "grace_begun": "major",
        "grace_ended": "major",
        "operator_created": "major",
        "operator_updated": "major",
        "plan_created": "major",
        "plan_updated": "major",
        "project_created": "major",
        "project_deleted": "major",
        "project_updated": "major",
        "purchase_refunded": "major",
        "refresh_token_reused": "major",
        "run_cancelled": "major",
        "run_completed": "minor",
        "run_failed": "major",
        "run_started": "minor",
        "session_created": "minor",
        "session_expired": "minor",
        "sign_in_link_created": "major",
        "signing_key_rotated": "major",
        "stripe_events_replayed": "major",
        "subscription_created": "major",
        "subscription_doubled": "major",
        "subscription_updated": "major",
        "template_deleted": "minor",
        "tenant_created": "major",
        "tenant_deleted": "major",
        "tenant_updated": "major",
        "trial_ended": "major",
        "trial_ending": "major",
        "usage_voided": "major",
        "user_login": "minor",
        "user_logout": "minor",
    }


async def test_an_event_says_who_did_what_when(sanic_client: LiveServer) -> None:
    cursor = await newest(sanic_client)
    tenant = await licensed(sanic_client, codes=3, ttl_days=7)

    events = await trail_after(sanic_client, cursor)

    assert [event.event_type for event in events] == [
        "plan_created",
        "tenant_created",
        "subscription_created",
        "code_generated",
    ]
    made = events[-1]
    assert (made.actor_type, made.actor_name, made.request_id) == ("operator", "tests", "test-request")
    assert (made.tenant_id, made.severity) == (tenant.tenant_id, "major")
    assert made.created_at.tzinfo is not None
    assert orjson.loads(made.metadata) == {"code_count": 3, "max_uses": 1, "ttl_days": 7, "label": None}
    assert not [code for code in tenant.codes for event in events if code in f"{event.title}{event.metadata}"]


async def test_repeating_what_is_so_tells_nothing(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    cursor = await newest(sanic_client)

    policy = await sanic_client.http.get("/licenses/policy", headers=device.headers)
    heartbeat = await sanic_client.http.post(
        "/licenses/heartbeat", headers=device.headers, json={"hw_fingerprint": device.hw_fingerprint}
    )

    assert (policy.status_code, heartbeat.status_code) == (200, 200)
    assert await trail_after(sanic_client, cursor) == []


async def test_what_is_rolled_back_was_never_told(sanic_client: LiveServer) -> None:
    cursor = await newest(sanic_client)

    async def write_and_fail() -> None:
        async with sanic_client.ctx.write() as conn:
            await record(conn, sanic_client.ctx, titled("never"))
            fail()

    with pytest.raises(RuntimeError, match="rolled back"):
        await write_and_fail()

    assert await trail_after(sanic_client, cursor) == []


async def test_several_events_of_one_transaction_keep_their_order(sanic_client: LiveServer) -> None:
    cursor = await newest(sanic_client)
    titles = [f"event {number}" for number in range(20)]

    async with sanic_client.ctx.write() as conn:
        await record(conn, sanic_client.ctx, *map(titled, titles))

    first = await trail_after(sanic_client, cursor, 7)
    rest = await trail_after(sanic_client, first[-1].cursor)
    assert [event.title for event in first + rest] == titles


async def test_a_transaction_held_open_across_a_read_is_never_skipped(sanic_client: LiveServer) -> None:
    """The slow transaction gets its id first and commits last; on SQLite the quick one has to wait for it."""
    live = sanic_client
    cursor = await newest(live)
    seen: list[str] = []

    async def read_on() -> None:
        nonlocal cursor
        if events := await trail_after(live, cursor):
            cursor = events[-1].cursor
            seen.extend(event.title for event in events)

    async def quick() -> None:
        async with live.ctx.write() as conn:
            await record(conn, live.ctx, titled("quick"))

    async with live.ctx.write() as conn:
        await record(conn, live.ctx, titled("slow"))
        other = asyncio.create_task(quick())
        if not live.runtime.db.is_sqlite:
            await other
        await read_on()
        assert seen == []
    await other
    await read_on()
    await read_on()

    assert seen == ["slow", "quick"]


async def test_whoever_writes_however_long_a_reader_meets_every_event_once(sanic_client: LiveServer) -> None:
    live = sanic_client
    cursor = await newest(live)
    chance = random.Random(4)
    written: list[str] = []
    seen: list[str] = []

    async def writer(number: int) -> None:
        for turn in range(EVENTS_EACH):
            title = f"{number}/{turn}"
            rolled_back = chance.random() < 0.2
            try:
                async with live.ctx.write() as conn:
                    await record(conn, live.ctx, titled(title))
                    await asyncio.sleep(chance.random() * 0.02)
                    if rolled_back:
                        fail()
                    await record(conn, live.ctx, titled(f"{title} again"))
            except RuntimeError:
                continue
            written.extend((title, f"{title} again"))

    async def read_on() -> None:
        nonlocal cursor
        while events := await trail_after(live, cursor, chance.randint(1, 5)):
            cursor = events[-1].cursor
            seen.extend(event.title for event in events)

    writing = asyncio.gather(*(writer(number) for number in range(WRITERS)))
    while not writing.done():
        await read_on()
        await asyncio.sleep(0.002)
    await writing
    await read_on()

    assert sorted(seen) == sorted(written)
