"""Jobs: slots that run once however many workers there are, take-over from the dead, and a database that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import URL, make_url
from support.databases import settings_for
from support.jobs import (
    EVERY_SECOND,
    FULL,
    PATIENCE,
    QUICK,
    Place,
    ahead_by,
    engine_rows,
    job_place,
    launched,
    note,
    outcomes,
    tick,
    until,
)

from app.context import Context
from app.jobs.jobs import Jobs
from app.jobs.work import Schedule
from app.telemetry import metrics
from sql.tables import leases, worker_heartbeats


@pytest.fixture
async def place(database: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with job_place(database, tmp_path) as place:
        yield place


async def test_runs_have_the_workers_loop_and_failures_stay_in_the_engine(place: Place) -> None:
    seen: list[tuple[Any, ...]] = []

    async def run(ctx: Context) -> Mapping[str, object]:
        await tick(ctx)
        seen.append((asyncio.get_running_loop(), threading.current_thread(), ctx.actor.type, ctx.actor.name))
        return {"done": True}

    async def fail(ctx: Context) -> Mapping[str, object]:
        raise KeyError("boom")

    async def hang(ctx: Context) -> Mapping[str, object]:
        await asyncio.sleep(PATIENCE)
        return {}

    schedules = (
        Schedule("tick", EVERY_SECOND, run),
        Schedule("fail", EVERY_SECOND, fail),
        Schedule("hang", EVERY_SECOND, hang, timeout_seconds=0.1),
    )
    counter = metrics.scheduled_runs.labels("tick")
    threads, tasks, before = set(threading.enumerate()), asyncio.all_tasks(), counter._value.get()
    for times in (1, 2):
        async with launched(place.settings(), *schedules) as jobs:

            async def done(times: int = times) -> bool:
                found = await outcomes(place)
                return min(found["tick", "SUCCESS"], found["fail", "ERROR"], found["hang", "ERROR"]) >= times

            await asyncio.wait_for(jobs.wait_until_running(), PATIENCE)
            await until(done)
        assert not jobs.is_running
        assert not jobs.is_leader
    assert set(seen) == {(asyncio.get_running_loop(), threading.main_thread(), "system", "schedule tick")}
    found = await outcomes(place)
    assert {kind for kind in found if kind[1] != "ENQUEUED"} == {
        ("tick", "SUCCESS"),
        ("fail", "ERROR"),
        ("hang", "ERROR"),
    }
    assert found["tick", "SUCCESS"] == counter._value.get() - before == len(await place.count("end")) == len(seen)
    assert asyncio.all_tasks() == tasks
    # The loop keeps a thread of its own pool, and the test its connection; what the engine had is gone.
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert {name for name in left if not name.startswith(("asyncio_", "Thread-"))} == set()
    assert not [name for name in left if "worker_thread" not in name and name.startswith("Thread-")]
    assert await place.rows(select(worker_heartbeats)) == []
    assert await place.rows(select(leases)) == []


@pytest.mark.engine_clock
async def test_the_latest_missed_slot_of_the_last_day_is_run_once(place: Place) -> None:
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    early, late = hour + timedelta(hours=1), hour + timedelta(hours=4)
    schedules = (
        Schedule("hourly", "0 * * * *", tick),
        Schedule("within a day", f"0 {late.hour} {late.day} * *", tick),
        Schedule("too old", f"0 {early.hour} {early.day} * *", tick),
    )
    latest = hour + timedelta(hours=26)
    # Half past, so that no slot falls due while the test runs.
    ahead_hours = (latest - now) / timedelta(hours=1) + 0.5
    ran = Counter(f"schedule:{name}:{slot.isoformat()}" for name, slot in (("hourly", latest), ("within a day", late)))
    # An installation that starts has missed nothing; what came due during a standstill is run, and only once.
    for ahead, expected in ((0, Counter[str]()), (ahead_hours, ran), (ahead_hours, ran)):
        async with launched(place.settings(), *schedules, clock=ahead_by(hours=ahead), grace=0.0) as jobs:

            async def caught_up(jobs: Jobs = jobs, expected: Counter[str] = expected) -> bool:
                return jobs.is_leader and (await outcomes(place)).total() >= len(expected)

            await until(caught_up)
            await asyncio.sleep(QUICK.beat)
        assert await place.count("end") == expected


@pytest.mark.engine_clock
async def test_stopping_waits_for_what_runs_and_leaves_the_rest_to_others(place: Place) -> None:
    release = asyncio.Event()

    async def slow(ctx: Context) -> Mapping[str, object]:
        await note(ctx, "begin")
        await release.wait()
        await note(ctx, "end")
        return {}

    async def begun() -> bool:
        return bool(await place.count("begin"))

    # Two minutes, because the engine's tables, before which nothing was missed, may be made in the next minute.
    slot = datetime.now(UTC) + timedelta(minutes=2)
    schedule = Schedule("slow", f"{slot.minute} {slot.hour} {slot.day} {slot.month} *", slow)
    # The first start of an installation has missed nothing, so this one only makes the engine's tables.
    async with launched(place.settings(), grace=0.0) as jobs:
        await asyncio.wait_for(jobs.wait_until_running(), PATIENCE)
    async with launched(place.settings(), schedule, clock=ahead_by(minutes=3), grace=0.0):
        await until(begun)
    assert [status for _, status, _ in await engine_rows(place)] == ["PENDING"]
    async with launched(place.settings(), clock=ahead_by(minutes=3), grace=PATIENCE) as jobs:
        jobs._schedules["slow"] = schedule

        async def again() -> bool:
            return sum((await place.count("begin")).values()) == 2

        await until(again)
        asyncio.get_running_loop().call_later(0.5, release.set)
    assert [status for _, status, _ in await engine_rows(place)] == ["SUCCESS"]
    assert sum((await place.count("end")).values()) == 1


# What a connection that is cut leaves open ends only when the server notices.
@pytest.mark.postgresql_only("a file does not go away")
@pytest.mark.alone
async def test_jobs_wait_for_a_database_that_is_away_and_recover_from_an_outage(place: Place) -> None:
    wire = Wire(make_url(place.url))

    async def more_than(known: int) -> bool:
        return sum((await place.count("end")).values()) > known

    schedule = Schedule("tick", EVERY_SECOND, tick)
    async with launched(settings_for(wire.url, place.state_dir), schedule) as jobs:
        await asyncio.sleep(2 * QUICK.beat)
        assert not jobs.is_running
        await wire.mend()
        await until(lambda: more_than(0))
        await wire.cut()
        await asyncio.sleep(60.0 if FULL else 2 * QUICK.lease)
        assert jobs.is_running
        assert not jobs.is_leader
        known = sum((await place.count("end")).values())
        await wire.mend()
        await until(lambda: more_than(known + 1))
    await wire.cut()
    begun = await place.count("begin")
    assert max((await place.count("end")).values()) == 1
    assert begun.total() - len(begun) <= 1


@pytest.mark.postgresql_only("a file has no sessions to look at")
async def test_the_engine_waits_in_no_transaction_that_keeps_dead_rows(place: Place) -> None:
    """One of the engines always sits in a transaction; with a snapshot it would stop all removal of dead rows."""
    sessions = text(
        "SELECT backend_xmin FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'portal-durable' AND state = 'idle in transaction'"
    )
    seen: list[Any] = []

    async def enough() -> bool:
        seen.extend(await place.rows(sessions))
        return len(seen) >= 10

    async with launched(place.settings()) as jobs:
        await jobs.wait_until_running()
        await until(enough)

    assert {row.backend_xmin for row in seen} == {None}


class Wire:
    """A way to the database that can be cut."""

    def __init__(self, far: URL) -> None:
        self._host, self._port = str(far.query.get("host", far.host or "127.0.0.1")), far.port or 5432
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._near: int = found.getsockname()[1]
        self.url = far.set(host="127.0.0.1", port=self._near, query={}).render_as_string(hide_password=False)
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._near)

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        if self._pipes:
            await asyncio.wait(self._pipes)
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        if self._host.startswith("/"):
            far_reader, far_writer = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        both = [asyncio.create_task(_pump(reader, far_writer)), asyncio.create_task(_pump(far_reader, writer))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            self._pipes.discard(task)
            for pump in both:
                pump.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in (writer, far_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


def test_slots_follow_the_wall_clock_of_the_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    nightly = Schedule("nightly", "15 3 * * *", tick)
    slot, found = datetime(2026, 3, 28, tzinfo=UTC), []
    while len(found) < 3:
        slot = nightly.next_slot(slot, berlin)
        found.append(slot)
        assert nightly.latest_slot(slot, berlin) == slot
        assert nightly.latest_slot(slot - timedelta(microseconds=1), berlin) < slot
    assert [moment.isoformat()[:16] for moment in found] == ["2026-03-28T02:15", "2026-03-29T01:15", "2026-03-30T01:15"]
