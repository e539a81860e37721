"""A clock that stood ahead or behind and was put right: what was begun meanwhile ends, nobody waits for next year."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs
from support.admin import as_tenant
from support.builders import activated, licensed, refresh
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.operators import browser, new_operator
from support.rows import change, rows

from app.commands.work_checks import clock as examined
from app.database.key_holds import KeyHold
from app.errors import RateLimitedError
from app.jobs.clock_watch import ClockWatch
from app.jobs.jobs import Jobs
from app.jobs.schedules import schedules
from app.limits.exact_limits import ExactLimit, count_hit
from app.services.idempotency import Repeatable, hold_key
from app.services.operators.emails import count_attempt
from app.services.tenants.deletion import delete_tenant, deletions_waiting
from app.settings import Settings
from app.telemetry import metrics
from app.telemetry.log import configure_logging
from sql.statements import tenant_deletions, workers
from sql.tables import leases, worker_heartbeats
from sql.tables import tenant_deletions as deletions

STEPS = {"an hour": timedelta(hours=1), "a year": timedelta(days=365)}
LIMIT = ExactLimit("tests", 1, 600)

steps = pytest.mark.parametrize("step", STEPS.values(), ids=list(STEPS))


def put_back(clock: MovableClock, step: timedelta) -> None:
    clock.move(seconds=-step.total_seconds())


async def take_lease(live: LiveServer, holder: str) -> bool:
    now = live.ctx.now()
    lease = {"name": "jobs", "holder": holder, "expires_at": now + timedelta(seconds=15)}
    async with live.ctx.write() as conn:
        return (
            await conn.maybe(workers.take_lease, str, **lease, now=now, latest=now + timedelta(minutes=30)) is not None
        )


async def beat(live: LiveServer, executor_id: str) -> None:
    now = live.ctx.now()
    row = {"executor_id": executor_id, "host": "there", "started_at": now, "beat_at": now}
    await change(live, workers.record_worker_heartbeat, **row)


@steps
async def test_leases_and_holds_of_a_clock_that_stood_ahead_are_over(
    sanic_client: LiveServer, clock: MovableClock, step: timedelta
) -> None:
    live = sanic_client
    tenant = await licensed(live)
    await delete_tenant(live.ctx, tenant.slug)
    (row,) = await rows(live, select(deletions.c.id))
    asked = Repeatable("op", uuid.uuid4().hex, "POST", "/somewhere", b"{}")
    clock.move(seconds=step.total_seconds())
    now = live.ctx.now()
    assert await take_lease(live, "dead")
    await beat(live, "dead")
    held = {"of_id": row.id, "now": now, "until": now + timedelta(seconds=20)}
    assert await rows_of_write(live, tenant_deletions.take_deletion, **held)
    assert isinstance(await hold_key(live.ctx, asked), KeyHold)
    put_back(clock, step)
    clock.move(seconds=60)
    await beat(live, "alive")

    assert await take_lease(live, "alive")
    assert not await take_lease(live, "another")
    assert await deletions_waiting(live.ctx) == [row.id]
    assert isinstance(await hold_key(live.ctx, asked), KeyHold)
    now = live.ctx.now()
    known = {"latest": now + timedelta(minutes=10)}
    async with live.ctx.write() as conn:
        alive = await conn.many(workers.executors_alive, str, since=now - timedelta(seconds=20), **known)
        await conn.affected(workers.delete_dead_worker_heartbeats, before=now - timedelta(seconds=20), **known)
    assert alive == ["alive"]
    assert [each.executor_id for each in await rows(live, select(worker_heartbeats.c.executor_id))] == ["alive"]
    assert [each.holder for each in await rows(live, select(leases.c.holder))] == ["alive"]


async def rows_of_write(live: LiveServer, statement: Any, **values: Any) -> Any:
    async with live.ctx.write_autocommit() as conn:
        return await conn.rows(statement, **values)


async def waits(live: LiveServer) -> list[bool]:
    """Whether each of two is let through at once, by two kinds of limits; who is not, waits ten minutes at most."""
    let_through = []
    for _ in range(2):
        async with live.ctx.write() as conn:
            wait = await count_hit(conn, live.ctx, LIMIT, "somebody")
        assert wait is None or 1 <= wait <= 600
        let_through.append(wait is None)
    for _ in range(2):
        refusal = None
        try:
            await count_attempt(live.ctx, "sign-in")
        except RateLimitedError as error:
            refusal = error
        assert refusal is None or 1 <= refusal.values["retry_after"] <= 600
        let_through.append(refusal is None)
    return let_through


@steps
async def test_limits_of_a_clock_that_stood_ahead_end_as_soon_as_others(
    settings: Settings, clock: MovableClock, step: timedelta
) -> None:
    limits = {"rate_limits": "on", "sign_ins_per_address": 1}
    async with live_server(settings.model_copy(update=limits), clock) as live:
        clock.move(seconds=step.total_seconds())
        assert await waits(live) == [True, False, True, False]
        # What was counted stands, but no longer than it would have stood.
        clock.move(seconds=-step.total_seconds())
        assert await waits(live) == [False] * 4
        clock.move(seconds=601)
        assert await waits(live) == [True, False, True, False]


@steps
async def test_sessions_and_tokens_of_a_clock_that_stood_ahead_are_over(
    settings: Settings, clock: MovableClock, step: timedelta
) -> None:
    short = {"session_seconds": 1800, "operator_session_seconds": 1800, "session_idle_seconds": 900}
    async with live_server(settings.model_copy(update=short), clock) as live, browser(live) as person:
        clock.move(seconds=step.total_seconds())
        device = await activated(live, await licensed(live, max_uses=10))
        session = await as_tenant(live, device.tenant.tenant_id)
        assert (await person.sign_in(await new_operator(live))).status_code == 303
        before = [
            (await live.http.get("/licenses/policy", headers=device.headers)).status_code,
            (await live.http.get("/api/tenant/auth/session", headers=session)).status_code,
            (await person.get("/admin/")).status_code,
        ]
        put_back(clock, step)
        policy = await live.http.get("/licenses/policy", headers=device.headers)
        ended = [
            (await live.http.get("/api/tenant/auth/session", headers=session)).status_code,
            (await person.get("/admin/")).status_code,
        ]
        again = await refresh(live, device)

    assert before == [200, 200, 200]
    assert (policy.status_code, policy.json()["errorCode"]) == (401, "token_expired")
    assert ended[0] == 401
    assert ended[1] in {303, 401}
    assert again.status_code == 200


class Queue:
    """What schedules are put into; ``since`` is when the installation was begun."""

    def __init__(self, since: datetime) -> None:
        self.since = since
        self.slots: list[datetime] = []

    async def enqueue(self, name: str, slot: datetime) -> None:
        self.slots.append(slot)


@steps
@pytest.mark.parametrize("is_new", [False, True])
async def test_schedules_go_on_when_the_clock_is_put_right(
    sanic_client: LiveServer, clock: MovableClock, step: timedelta, is_new: bool
) -> None:
    fold = [each for each in schedules(sanic_client.runtime.settings) if each.name == "statistics-fold"]
    assert fold
    jobs = Jobs(sanic_client.runtime, fold)
    since = clock.now() + (step if is_new else -timedelta(days=400))
    queue = Queue(since)
    counts = []
    for by in (step, timedelta(minutes=2), -step, timedelta(minutes=2), -step, timedelta(minutes=2)):
        clock.move(seconds=by.total_seconds())
        queue.slots.clear()
        await jobs._enqueue_due(cast("Any", queue))
        counts.append([slot <= clock.now() for slot in queue.slots])

    assert counts[1:] == [[True]] * 5


def test_a_step_and_a_difference_are_told_once(settings: Settings) -> None:
    configure_logging(settings.model_copy(update={"log_level": "info"}))
    watch, now = ClockWatch(), datetime(2026, 1, 1, tzinfo=UTC)
    looks = [(0, 0, 0.1), (5, 5, 0.1), (3610, 10, 3600), (3615, 15, 3600), (20, 20, 0.2)]
    with capture_logs() as logged:
        for ahead, passed, skew in looks:
            watch.look(now + timedelta(seconds=ahead), passed, timedelta(seconds=skew))

    assert logged[0]["seconds"] == 3600
    assert [each["event"] for each in logged] == ["clock_stepped", "clock_differs", "clock_stepped", "clock_agrees"]
    assert metrics.clock_skew._value.get() == 0.2


@pytest.mark.postgresql_only("a file has no clock")
async def test_a_heartbeat_that_has_to_wait_is_no_clock_that_differs(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    jobs = Jobs(sanic_client.runtime, [])
    clock.move(seconds=-60)
    async with jobs._row_lock:
        waiting = asyncio.create_task(jobs._beat())
        await asyncio.sleep(0)
        clock.move(seconds=60)
    await waiting

    assert abs(metrics.clock_skew._value.get()) < 30


@pytest.mark.postgresql_only("a file has no clock")
@pytest.mark.parametrize(("ahead", "status"), [(0, "ok"), (30, "warning"), (-7200, "failure")])
async def test_the_doctor_compares_with_the_databases_clock(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch, ahead: int, status: str
) -> None:
    moved = MovableClock()
    moved.move(seconds=ahead)
    monkeypatch.setattr("app.commands.work_checks.SystemClock", lambda: moved)

    found = await examined(sanic_client.runtime.db)

    assert (found.check, found.status) == ("clock", status)
