"""Work processes: errands go on whoever dies, workers beside them hold no durable engine, and a host may only work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from support.processes import ServerProcess, is_alive, served
from support.sign_in import GENERATE

from app.commands.work_process import NICENESS
from app.services.tenants.onboarding import ensure_tenant
from sql.tables import errand_calls, worker_heartbeats

pytestmark = pytest.mark.processes
PATIENCE = 60.0
# What the durable engine and its client call their connections.
OF_THE_ENGINE = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name IN ('portal-durable', 'addon-portal')"
)


async def until(condition: Callable[[], Awaitable[Any]], server: ServerProcess) -> Any:
    """What the condition answers as soon as that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := await condition()):
        assert time.monotonic() < deadline, server.log.read_text()[-3000:]
        await asyncio.sleep(0.1)
    return answer


async def readiness(server: ServerProcess) -> dict[str, Any]:
    answer = await server.http.get("/readyz")
    assert answer.status_code == 200
    return dict(answer.json())


async def mails(server: ServerProcess) -> int:
    answer = await server.http.get("/dev/mailbox", headers={"accept": "application/json"})
    return len(answer.json()["messages"])


async def ask_for_a_code(server: ServerProcess, slug: str) -> None:
    assert (await server.http.post(GENERATE, json={"tenant_slug": slug})).status_code == 200


async def engine_connections(server: ServerProcess) -> int:
    """How many the durable engine holds; on SQLite it has a file instead."""
    if server.runtime.db.is_sqlite:
        return 0
    async with server.ctx.read() as conn:
        return int((await conn.rows(OF_THE_ENGINE))[0][0])


def has_loaded_the_engine(pid: int) -> bool:
    """Whether the library by which the engine reaches PostgreSQL, on either database, is in a process's memory."""
    return "psycopg" in Path(f"/proc/{pid}/maps").read_text()


async def test_a_killed_work_process_is_replaced_and_errands_go_on(database: str, tmp_path: Path) -> None:
    given = {"PORTAL_WORK_PROCESSES": "1", "PORTAL_AUDIT_SEAL_CRON": "* * * * * *"}
    async with served(database, tmp_path, workers=2, **given) as server:
        await ensure_tenant(server.ctx, name="Worked", slug="worked", email="it@example.com")
        workers = server.worker_pids()

        async def has_sealed() -> bool:
            told = (await server.http.get("/metrics")).text
            return 'portal_scheduled_runs_total{job="audit-seal"}' in told

        await until(has_sealed, server)
        (victim,) = [int(str(event["pid"])) for event in server.events("work_process_works")]
        assert has_loaded_the_engine(victim)
        assert [has_loaded_the_engine(pid) for pid in workers] == [False, False]
        # Where they want the same core, the workers have it first.
        assert os.getpriority(os.PRIO_PROCESS, victim) == os.getpriority(os.PRIO_PROCESS, workers[0]) + NICENESS
        settings = server.runtime.settings
        assert await engine_connections(server) <= settings.durable_pool_size + 1

        os.kill(victim, signal.SIGKILL)
        await ask_for_a_code(server, "worked")

        async def is_sent() -> bool:
            return await mails(server) == 1

        await until(is_sent, server)
        (died,) = server.events("worker_died")
        assert (died["pid"], died["cause"], died["worker"]) == (victim, "SIGKILL", "Sanic-Work-0")
        assert server.worker_pids() == workers
        assert (await readiness(server))["work_processes"] >= 1

        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0
        started = [int(str(event["pid"])) for event in server.events("work_process_started")]
        assert len(started) == 2
        assert not [pid for pid in (*workers, *started) if is_alive(pid)]
    assert "Traceback" not in server.log.read_text()


async def test_a_host_that_only_works_does_the_errands_of_one_that_only_answers(database: str, tmp_path: Path) -> None:
    async with served(database, tmp_path, workers=1, PORTAL_WORK_PROCESSES="elsewhere") as server:
        await ensure_tenant(server.ctx, name="Worked", slug="worked", email="it@example.com")
        await ask_for_a_code(server, "worked")

        async def waits() -> bool:
            told = await readiness(server)
            return (told["work_processes"], told["errand_wait_seconds"] > 0) == (0, True)

        await until(waits, server)
        assert (await mails(server), await engine_connections(server)) == (0, 0)

        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "work", "--json"),
            env=server.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        assert other.stdout is not None
        told = json.loads(await asyncio.wait_for(other.stdout.readline(), PATIENCE))
        assert (told["processes"], told["pid"]) == (1, other.pid)

        async def is_done() -> bool:
            return await mails(server) == 1 and (await readiness(server))["errand_wait_seconds"] == 0

        await until(is_done, server)
        assert (await readiness(server))["work_processes"] == 1

        # As Ctrl-C in a terminal: for the whole group.
        os.killpg(other.pid, signal.SIGINT)
        assert await asyncio.wait_for(other.wait(), PATIENCE) == 0
        async with server.ctx.read() as conn:
            for table in (errand_calls, worker_heartbeats):
                assert await conn.rows(select(table)) == []
