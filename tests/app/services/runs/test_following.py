"""Following the events of all runs with one cursor: none is skipped, whoever commits late and wherever one begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import delete
from support.builders import licensed
from support.live import LiveServer
from support.rows import change
from support.statements import counted_statements
from support.watching import Run, begun, happen, write_events

from app.errors import ShuttingDownError
from app.services.runs import tail, watches
from app.services.runs.run_events import BEGINNING, Cursor, RunEvent
from app.services.runs.tail import Watcher
from app.services.runs.watching import follow
from sql.tables import run_events

# Longer than any look that finds nothing.
QUIET_SECONDS = 0.3


@pytest.fixture
async def following(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Follows, and closes all that it has begun; nothing waits for the look every two seconds."""
    monkeypatch.setattr(watches, "LOOK_SECONDS", 0.1)
    begun_here: list[Watcher[Cursor]] = []

    async def begin(
        tenant_id: int | None = None,
        after: Cursor | None = None,
        wanted: Callable[[RunEvent], bool] | None = None,
    ) -> Watcher[Cursor]:
        watcher = await follow(sanic_client.ctx, tenant_id, after, wanted)
        begun_here.append(watcher)
        return watcher

    yield begin
    for watcher in begun_here:
        watcher.close()


async def told(watcher: Watcher[Cursor], events: int) -> list[RunEvent]:
    """The next so many events."""
    found: list[RunEvent] = []
    while len(found) < events:
        some = await watcher.next(10)
        assert some, f"only {len(found)} of {events} events"
        found += some
    assert len(found) == events
    return found


def numbers(events: list[RunEvent], run: Run) -> list[int]:
    return [event.number for event in events if event.run_id == run.id]


async def test_all_runs_are_followed_from_now_on(sanic_client: LiveServer, following: Any) -> None:
    first, second = await begun(sanic_client), await begun(sanic_client)
    await happen(sanic_client.runtime, second, 3)
    all_of_them, of_tenant = await following(), await following(first.tenant.tenant_id)
    odd = await following(wanted=lambda event: event.number % 2 == 1)
    # On SQLite the run with the lower id comes later, and is told all the same.
    for run, events in ((second, 2), (first, 2), (second, 1), (first, 1)):
        await happen(sanic_client.runtime, run, events)
    events = await told(all_of_them, 6)

    assert (numbers(events, first), numbers(events, second)) == ([1, 2, 3], [4, 5, 6])
    assert [event.cursor for event in events] == sorted(event.cursor for event in events)
    assert [(event.run_id, event.number) for event in await told(of_tenant, 3)] == [(first.id, n) for n in (1, 2, 3)]
    assert {event.number for event in await told(odd, 3)} == {1, 3, 5}


async def test_any_cursor_leads_to_the_rest(sanic_client: LiveServer, following: Any) -> None:
    runs = [await begun(sanic_client) for _ in range(3)]
    for number in range(6):
        await happen(sanic_client.runtime, runs[number % 3], 2)
    events = await told(await following(after=BEGINNING), 12)

    for number, event in enumerate(events[:-1], 1):
        rest = await told(await following(after=event.cursor), 12 - number)
        assert [one.cursor for one in rest] == [one.cursor for one in events[number:]]
    tenant_id = runs[0].tenant.tenant_id
    own = [event for event in events if event.tenant_id == tenant_id]
    rest = await told(await following(tenant_id, own[0].cursor), 3)
    assert [one.cursor for one in rest] == [one.cursor for one in own[1:]]


@pytest.mark.postgresql_only("SQLite has one writer")
async def test_a_transaction_that_commits_late_is_not_passed(sanic_client: LiveServer, following: Any) -> None:
    slow, quick = await begun(sanic_client), await begun(sanic_client)
    runtime = sanic_client.runtime
    watcher = await following()
    async with runtime.db.write() as conn:
        await write_events(conn, runtime, slow)
        await happen(runtime, quick, 2)
        before = await watcher.next(QUIET_SECONDS)
    runtime.run_moved(slow.id, slow.tenant.tenant_id)
    events = await told(watcher, 3)

    assert before == []
    assert [(event.run_id, event.number) for event in events] == [(slow.id, 1), (quick.id, 1), (quick.id, 2)]


async def test_the_events_of_a_run_keep_their_order_among_all(sanic_client: LiveServer, following: Any) -> None:
    """Whoever locks the run before it writes anything has no number of a transaction while it waits."""
    runs = [await begun(sanic_client) for _ in range(2)]
    watcher = await following()

    async def write(number: int) -> None:
        for _ in range(10):
            await happen(sanic_client.runtime, runs[number % 2])

    await asyncio.gather(*(write(number) for number in range(6)))
    events = await told(watcher, 60)

    assert all(numbers(events, run) == list(range(1, 31)) for run in runs)


async def test_what_comes_after_the_newest_were_deleted_is_told(sanic_client: LiveServer, following: Any) -> None:
    stays, goes = await begun(sanic_client), await begun(sanic_client)
    watcher = await following()
    await happen(sanic_client.runtime, stays)
    await happen(sanic_client.runtime, goes, 5)
    await told(watcher, 6)
    await change(sanic_client, delete(run_events).where(run_events.c.run_id == goes.id))
    await happen(sanic_client.runtime, stays)

    assert numbers(await told(watcher, 1), stays) == [2]


async def test_many_followers_share_what_is_read(sanic_client: LiveServer, following: Any) -> None:
    run = await begun(sanic_client)
    followers = [await following() for _ in range(20)]
    with counted_statements(sanic_client.runtime.db) as seen:
        await happen(sanic_client.runtime, run, 10)
        for watcher in followers:
            await told(watcher, 10)

    assert 1 <= len([statement for statement in seen if "FROM run_events" in statement]) < 10


@pytest.mark.parametrize("is_one_tenant", [True, False])
async def test_who_falls_behind_what_is_kept_reads_it_by_pages(
    sanic_client: LiveServer, following: Any, monkeypatch: pytest.MonkeyPatch, is_one_tenant: bool
) -> None:
    for name, value in (("KEPT_EVENTS", 15), ("TAKEN_AT_ONCE", 4)):
        monkeypatch.setattr(tail, name, value)
    monkeypatch.setattr("app.services.runs.sources.PAGE_SIZE", 7)
    tenant = await licensed(sanic_client)
    mine, other = await begun(sanic_client, tenant), await begun(sanic_client)
    awake = await following()
    sleepy = await following(tenant.tenant_id if is_one_tenant else None)
    for _ in range(8):
        await happen(sanic_client.runtime, mine, 3)
        await happen(sanic_client.runtime, other, 4)
        await told(awake, 7)
    assert sleepy.place < sleepy.tail.floor
    events = await told(sleepy, 24 if is_one_tenant else 56)
    await happen(sanic_client.runtime, mine)
    events += await told(sleepy, 1)

    assert numbers(events, mine) == list(range(1, 26))
    assert len(sleepy.tail._kept) <= 15


async def test_what_is_kept_is_bounded_by_its_size_too(
    sanic_client: LiveServer, following: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "KEPT_BYTES", 500)
    run = await begun(sanic_client)
    watcher = await following()
    for _ in range(4):
        await happen(sanic_client.runtime, run, 10)
    assert numbers(await told(watcher, 40), run) == list(range(1, 41))

    assert sum(len(event.data) for event in watcher.tail._kept) == watcher.tail._bytes <= 500


async def test_a_process_that_stops_is_followed_no_more(sanic_client: LiveServer, following: Any) -> None:
    watcher = await following()
    waiting = asyncio.create_task(watcher.next())
    await asyncio.sleep(0)
    draining = asyncio.create_task(sanic_client.runtime.drain())

    assert await waiting == []
    assert watcher.end == "stopping"
    watcher.close()
    await draining
    with pytest.raises(ShuttingDownError):
        await following()
