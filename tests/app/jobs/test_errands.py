"""Errands: work for a row, done once soon after its commit, by the durable engine; what was missed is swept up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from support.jobs import PATIENCE, Place, engine_rows, job_place, launched, until
from support.sign_in import code_in

from app.context import Actor, Context
from app.errors import DatabaseUnavailableError, DeliveryDeferredError, PortalError
from app.jobs.calls import call_for_errands
from app.jobs.work import Errand
from app.messages.mailbox import Mailbox
from app.runtime import Runtime
from app.services.llm.alert_mails import ALERT_MAIL, ALERT_MAILS
from app.services.llm.key_alerts import key_refused
from app.services.tenants.deliveries import DELIVERIES, enqueue_deliveries, request_delivery
from app.services.tenants.onboarding import ensure_tenant
from sql.tables import alert_mails, deliveries, errand_calls


@pytest.fixture
async def place(database: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with job_place(database, tmp_path) as place:
        yield place


@contextlib.asynccontextmanager
async def another_process(place: Place) -> AsyncIterator[Context]:
    """A context without an engine, as the command line has it, or a worker that dies right after its commit."""
    runtime = Runtime(place.settings())
    try:
        yield Context(runtime, Actor("operator", "tests"))
    finally:
        await runtime.close()


async def nothing_waits(ctx: Context) -> Sequence[int]:
    """No row for a sweep: only what is put into the queue is done."""
    return []


async def workflows(place: Place) -> dict[str, str]:
    with contextlib.suppress(DBAPIError):
        return {workflow: status for workflow, status, _ in await engine_rows(place)}
    return {}


async def test_a_row_is_done_once_however_often_it_is_enqueued(place: Place) -> None:
    done: list[int] = []

    async def run(ctx: Context, row_id: int) -> Mapping[str, object]:
        done.append(row_id)
        return {"by": ctx.actor.name}

    async with launched(place.settings(), errands=[Errand("note", run, nothing_waits)]) as jobs:
        # Before the engine is launched as well: who is early waits for it.
        for _ in range(3):
            jobs.enqueue("note", 7)
            jobs.enqueue("note", 8)

        async def all_done(*row_ids: int) -> bool:
            found = await workflows(place)
            return all(found.get(f"note:{row_id}") == "SUCCESS" for row_id in row_ids)

        await until(lambda: all_done(7, 8))
        jobs.enqueue("note", 7)
        # It is put into the queue after it, and taken out of it after it.
        jobs.enqueue("note", 9)
        await until(lambda: all_done(9))

    assert sorted(done) == [7, 8, 9]


async def test_an_errand_that_failed_is_swept_up_until_its_row_is_done(place: Place) -> None:
    tried: list[int] = []
    waits = {5}

    async def run(ctx: Context, row_id: int) -> Mapping[str, object]:
        tried.append(row_id)
        if len(tried) < 3:
            raise KeyError("boom")
        waits.discard(row_id)
        return {}

    async def waiting(ctx: Context) -> Sequence[int]:
        return sorted(waits)

    async def none_waits() -> bool:
        return not waits

    async with launched(place.settings(), errands=[Errand("stubborn", run, waiting)]):
        await until(none_waits)

    assert tried == [5, 5, 5]


async def test_a_delivery_that_nobody_enqueued_is_swept_up_and_sent(place: Place) -> None:
    async with another_process(place) as ctx:
        tenant, _ = await ensure_tenant(ctx, name="Swept", slug="swept", email="it@example.com")
        async with ctx.write() as conn:
            delivery = await request_delivery(conn, "one_time_password", tenant.slug, at=ctx.now())
        enqueue_deliveries(ctx, [delivery])
        # It waits for longer than it should.
        at = datetime.now(UTC).replace(microsecond=0).timestamp() - 60
        async with ctx.write() as conn:
            of = deliveries.c.id == delivery
            await conn.affected(deliveries.update().where(of).values(created_at=datetime.fromtimestamp(at, UTC)))

        async with launched(place.settings(), errands=[DELIVERIES]):

            async def sent() -> bool:
                return (await place.rows(select(deliveries.c.state)))[0][0] == "sent"

            await until(sent)

    (message,) = await Mailbox(place.state_dir).messages()
    assert message.to == "it@example.com"
    assert len(code_in(message.text)) == 6
    assert set(await workflows(place)) == {f"delivery:{delivery}"}


async def test_a_delivery_leaves_without_a_sweep_and_its_arguments_hold_no_secret(place: Place) -> None:
    async with another_process(place) as ctx:
        tenant, _ = await ensure_tenant(ctx, name="Quick", slug="quick", email="it@example.com")
        async with ctx.write() as conn:
            delivery = await request_delivery(conn, "one_time_password", tenant.slug, at=ctx.now())
        async with launched(place.settings(), errands=[Errand("delivery", DELIVERIES.run, nothing_waits)]) as jobs:
            await asyncio.wait_for(jobs.wait_until_running(), PATIENCE)
            jobs.enqueue("delivery", delivery)

            async def sent() -> bool:
                return (await place.rows(select(deliveries.c.state)))[0][0] == "sent"

            await until(sent)

    code = code_in((await Mailbox(place.state_dir).messages())[0].text)
    prefix = "" if place.url.startswith("sqlite") else "dbos."
    async with place.durable.connect() as connection:
        for table in ("workflow_status", "operation_outputs"):
            kept = list(await connection.exec_driver_sql(f"select * from {prefix}{table}"))
            assert kept
            assert code not in str([[value for value in row if not isinstance(value, int)] for row in kept])


async def test_what_may_pass_is_tried_again_by_the_engine(place: Place) -> None:
    failures: dict[int, PortalError] = {1: DatabaseUnavailableError(), 2: DeliveryDeferredError(reason="451 not now")}
    tried: list[int] = []

    async def run(ctx: Context, row_id: int) -> Mapping[str, object]:
        tried.append(row_id)
        if tried.count(row_id) < 2:
            raise failures[row_id]
        return {}

    async with launched(place.settings(), errands=[Errand("again", run, nothing_waits)]) as jobs:
        # At the same time, since the engine lets each wait for seconds.
        for row_id in failures:
            jobs.enqueue("again", row_id)

        async def done() -> bool:
            found = await workflows(place)
            return all(found.get(f"again:{row_id}") == "SUCCESS" for row_id in failures)

        await until(done)

    assert sorted(tried) == [1, 1, 2, 2]


async def test_an_errand_of_a_worker_that_is_gone_is_taken_over(place: Place) -> None:
    release = asyncio.Event()
    begun: list[str] = []

    async def run(ctx: Context, row_id: int) -> Mapping[str, object]:
        begun.append(ctx.runtime.executor_id)
        await release.wait()
        return {}

    async def running() -> bool:
        return len(begun) == 1

    async def done() -> bool:
        return (await workflows(place)).get("slow:1") == "SUCCESS"

    slow = Errand("slow", run, nothing_waits)
    async with launched(place.settings(), grace=0.0, errands=[slow]) as jobs:
        jobs.enqueue("slow", 1)
        await until(running)
    release.set()
    async with launched(place.settings(), errands=[slow]):
        await until(done)

    assert len(begun) == len(set(begun)) == 2


async def test_a_run_that_leaves_a_rest_is_swept_up_again(place: Place) -> None:
    runs: list[int] = []
    waits = {5}

    async def run(ctx: Context, row_id: int) -> Mapping[str, object]:
        runs.append(row_id)
        if len(runs) == 3:
            waits.discard(row_id)
        return {}

    async def waiting(ctx: Context) -> Sequence[int]:
        return sorted(waits)

    async def none_waits() -> bool:
        return not waits

    async with launched(place.settings(), errands=[Errand("bit by bit", run, waiting, at_once=1)]):
        await until(none_waits)

    assert runs == [5, 5, 5]


async def test_long_errands_have_a_queue_of_their_own_and_keep_no_other_waiting(place: Place) -> None:
    release = asyncio.Event()
    begun: list[int] = []
    quick: list[int] = []

    async def run_long(ctx: Context, row_id: int) -> Mapping[str, object]:
        begun.append(row_id)
        await release.wait()
        return {}

    async def run_quick(ctx: Context, row_id: int) -> Mapping[str, object]:
        quick.append(row_id)
        return {}

    async def quick_done() -> bool:
        return len(quick) == 3

    async def all_begun() -> bool:
        return len(begun) == 20

    errands = [Errand("long", run_long, nothing_waits, at_once=2), Errand("quick", run_quick, nothing_waits)]
    async with launched(place.settings(), errands=errands) as jobs:
        for row_id in range(20):
            jobs.enqueue("long", row_id)

        async def some_begun() -> bool:
            return len(begun) == 2

        await until(some_begun)
        for row_id in range(3):
            jobs.enqueue("quick", row_id)
        await until(quick_done)
        assert len(begun) == 2
        release.set()
        await until(all_begun)


async def test_a_critical_alert_is_mailed_once_and_the_engine_knows_its_id_alone(place: Place) -> None:
    settings = place.settings().model_copy(update={"alert_recipients": ("ops@portal.test",)})
    async with another_process(place) as ctx:
        ctx.runtime.settings = settings
        async with launched(settings, errands=[Errand(ALERT_MAIL, ALERT_MAILS.run, nothing_waits)]) as jobs:
            await asyncio.wait_for(jobs.wait_until_running(), PATIENCE)
            ctx.runtime.enqueue = jobs.enqueue
            for _ in range(2):
                await key_refused(ctx, "openai")
            ((mail_id,),) = await place.rows(select(alert_mails.c.id))
            jobs.enqueue(ALERT_MAIL, mail_id)

            async def sent() -> bool:
                return (await place.rows(select(alert_mails.c.state)))[0][0] == "sent"

            await until(sent)

    (message,) = await Mailbox(place.state_dir).messages()
    assert (message.to, "OPENAI_API_KEY" in message.text) == ("ops@portal.test", True)
    assert set(await workflows(place)) == {f"{ALERT_MAIL}:{mail_id}"}


async def nothing_called(ctx: Context) -> bool:
    async with ctx.read() as conn:
        return await conn.rows(select(errand_calls)) == []


async def test_an_errand_that_repeats_runs_once_more_for_whatever_comes_while_it_runs(place: Place) -> None:
    """What is enqueued while it runs may have come too late for it; what is enqueued twice before it is done once."""
    begun: list[int] = []
    may_end = asyncio.Event()

    async def run(ctx: Context, row_id: int) -> Mapping[str, object]:
        begun.append(row_id)
        await may_end.wait()
        return {}

    async def times(count: int) -> bool:
        return len(begun) == count

    async with another_process(place) as ctx:
        call_for_errands(ctx.runtime)
        fold = Errand("fold", run, nothing_waits, at_once=1, repeats=True)
        async with launched(place.settings(), errands=[fold]) as jobs:
            ctx.runtime.enqueue("fold", 7)
            await until(lambda: times(1))
            for _ in range(5):
                ctx.runtime.enqueue("fold", 7)
            jobs.enqueue("fold", 7)
            # They wait as long as it runs.
            await asyncio.sleep(1)
            assert begun == [7]
            may_end.set()
            await until(lambda: times(2))
            await until(lambda: nothing_called(ctx))

    assert 2 <= len(begun) <= 3
