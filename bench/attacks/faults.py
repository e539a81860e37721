"""Faults of the machine: a full disk, states of the database, a clock that stood ahead, processes that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from httpx2 import Response, TransportError

from bench.attacks.target import Customer, Finding, Ground, Target, count_of, faults_of, target, together

ASKED, DISK_MEGABYTES = 40, 24
# What a heartbeat's UPDATE is answered by the database: full disk, no memory, limits, read-only, locked, down, I/O.
STATES = ("53100", "53200", "53300", "53400", "25006", "55P03", "57P03", "58030")
FAULT = (
    "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'as the attack wants it' USING ERRCODE = '{state}'; END $$"
)
TRIGGER = "CREATE TRIGGER fault BEFORE UPDATE ON devices FOR EACH ROW EXECUTE FUNCTION fault()"
AHEAD = tuple(
    f"UPDATE {table} SET {column} = {column} + interval '1 year'"
    for table, column in (("leases", "expires_at"), ("rate_windows", "ends_at"), ("worker_heartbeats", "beat_at"))
)
GENERATE = "/api/tenant/auth/otp/generate"
END_SECONDS, LEADER_SECONDS = 20, 40
TENANTS, SENDERS = 8, 20


async def device_of(server: Target, customer: Customer, hardware: str = "machine") -> tuple[dict[str, str], Any]:
    """A new device's headers, and its tokens."""
    pair = (await server.activate(customer, hardware)).json()
    return {"authorization": f"Bearer {pair['access_token']}"}, pair


async def beat(server: Target, headers: dict[str, str], hardware: str = "machine") -> Response:
    """A heartbeat."""
    return await server.http.post("/licenses/heartbeat", headers=headers, json={"hw_fingerprint": hardware})


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of some megabytes; raises subprocess.CalledProcessError without the rights to mount one."""
    folder.mkdir()
    size = f"size={DISK_MEGABYTES}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Take a disk's last byte."""
    with contextlib.suppress(OSError), (folder / "filler").open("ab", buffering=0) as file:
        while file.write(os.urandom(4096)):
            pass


async def full_disk(ground: Ground) -> list[Finding]:
    """Devices and strangers while the disk of the state folder is full and the database is well."""
    if not ground.is_postgres:
        return [Finding("full disk of the state folder", 0, 0, 0, "the database would be on it")]
    try:
        with small_disk(ground.folder / "disk") as disk:
            async with target(ground, workers=2, PORTAL_STATE_DIR=str(disk)) as server:
                customer = await server.customer(uses=9)
                headers, _ = await device_of(server, customer)
                before = set(server.worker_pids())
                fill(disk)
                # Until a look at the disk is due again.
                await asyncio.sleep(2.1)

                async def ask(number: int) -> int:
                    with contextlib.suppress(TransportError):
                        if number % 2:
                            return (await server.http.get("/licenses/policy", headers=headers)).status_code
                        # Each counts under labels that the metrics have no room for yet.
                        return (await server.activate(customer, "machine", "AAAA-AAAA-AAAA-AAAA")).status_code
                    return 0

                statuses = await together(range(2 * ASKED), ask)
                dead = sum(not psutil.pid_exists(pid) for pid in before)
                more = len(set(server.worker_pids()) - before)
    except subprocess.CalledProcessError as failure:
        return [Finding("full disk of the state folder", 0, 0, 0, f"no disk can be mounted: {failure.stderr!r}")]
    failed = sum(status not in {200, 400} for status in statuses)
    return [
        Finding("full disk: requests that fail", len(statuses), failed, 0, f"{dead} workers died, {more} came anew")
    ]


async def on_database(ground: Ground, *statements: str) -> None:
    """Run statements on the attacked database, as its owner."""
    connection = await asyncpg.connect(ground.url.replace("+asyncpg", ""))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def database_states(ground: Ground) -> list[Finding]:
    """States of the server's, and connections that stay read-only after it is writable again."""
    if not ground.is_postgres:
        return [Finding("states of the database", 0, 0, 0, "SQLite has none of them")]
    async with target(ground) as server:
        headers, _ = await device_of(server, await server.customer(uses=9))
        answers = []
        for state in STATES:
            await on_database(ground, FAULT.format(state=state), *([] if answers else [TRIGGER]))
            answers.append(await beat(server, headers))
        await on_database(ground, "DROP TRIGGER fault ON devices")
        ours = count_of(answers, at=500)
        told = "; ".join(f"{count} x {status}" for status, count in Counter(a.status_code for a in answers).items())
        return [
            Finding("states that are told as our fault", len(STATES), ours, 0, told),
            await read_only(server, headers),
        ]


async def read_only(server: Target, headers: dict[str, str]) -> Finding:
    """Heartbeats after the database was read-only for a while: connections were opened meanwhile."""
    ground = server.ground
    name = ground.url.rpartition("/")[2].partition("?")[0]
    others = (
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    )
    await on_database(ground, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on', others)
    during = await together(range(ASKED), lambda _: beat(server, headers))
    await on_database(
        ground,
        "SET default_transaction_read_only = off",
        f'ALTER DATABASE "{name}" RESET default_transaction_read_only',
    )
    await asyncio.sleep(2)
    after = await together(range(ASKED), lambda _: beat(server, headers))
    told = f"while it was read-only {count_of(during, at=500)} of {ASKED} were 500"
    return Finding("writes refused once it is writable again", ASKED, ASKED - count_of(after), 0, told)


async def clock_ahead(ground: Ground) -> list[Finding]:
    """What a host leaves behind whose clock stood a year ahead: leases, windows of limits and beats of next year."""
    if not ground.is_postgres:
        return [Finding("a clock a year ahead", 0, 0, 0, "the rows are moved on PostgreSQL")]
    async with target(ground) as server:
        customer = await server.customer()
        for _ in range(4):
            await server.http.post(GENERATE, json={"tenant_slug": customer.slug})
        if not await leads(ground):
            raise RuntimeError("nobody leads before it either")
        kill_all(server)
        await on_database(ground, *AHEAD)
        await server.start()
        refused = await server.http.post(GENERATE, json={"tenant_slug": customer.slug})
        wait = int(refused.headers.get("retry-after", 0))
        led = await leads(ground)
    return [
        Finding("waits of more than an hour after it", 1, int(wait > 3600), 0, f"Retry-After: {wait}"),
        Finding("no leader after it", 1, int(not led), 0, f"within {LEADER_SECONDS} s"),
    ]


def kill_all(server: Target) -> None:
    """Kill every process of the server's."""
    if server.process is not None:
        for process in (*psutil.Process(server.process.pid).children(recursive=True), server.process):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        server.process.wait()


async def leads(ground: Ground) -> bool:
    """Whether somebody takes the lease of the schedules within some time."""
    connection = await asyncpg.connect(ground.url.replace("+asyncpg", ""))
    try:
        for _ in range(LEADER_SECONDS):
            if await connection.fetchval("SELECT bool_and(expires_at < now() + interval '1 hour') FROM leases"):
                return True
            await asyncio.sleep(1)
        return False
    finally:
        await connection.close()


async def main_process_killed(ground: Ground) -> list[Finding]:
    """Processes that live on, and hold the port, when the main one was killed."""
    async with target(ground, workers=2, PORTAL_SHUTDOWN_GRACE_SECONDS="1") as server:
        assert server.process
        children = psutil.Process(server.process.pid).children(recursive=True)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, END_SECONDS)
        for process in alive:
            process.terminate()
        _, stubborn = await asyncio.to_thread(psutil.wait_procs, alive, END_SECONDS)
        for process in stubborn:
            process.kill()
    told = f"within {END_SECONDS} s; {len(stubborn)} of them ignored SIGTERM as well"
    return [Finding("processes that outlive the main one", len(children), len(alive), 0, told)]


async def usage_while_deleted(ground: Ground) -> list[Finding]:
    """Usage of tenants at the moment in which they are deleted."""
    async with target(ground, workers=2, PORTAL_RATE_LIMITS="off") as server:
        statuses: Counter[int] = Counter()
        program = await server.operator()
        for _ in range(TENANTS):
            customer = await server.customer(uses=9)
            headers, _ = await device_of(server, customer)
            path, gone = f"/usage/{customer.slug}/events", asyncio.Event()

            async def send(number: int, path: str = path, gone: asyncio.Event = gone) -> None:
                sent = 0
                who = headers if number % 2 else program  # noqa: B023 - awaited within the turn
                while not gone.is_set():
                    event = {"id": f"{number} {sent}", "kind": "run", "quantity": 1}
                    answer = await server.http.post(path, headers=who, json={"events": [event]})
                    statuses[answer.status_code] += 1
                    sent += 1

            sending = [asyncio.create_task(send(number)) for number in range(SENDERS)]
            await asyncio.sleep(0.5)
            await server.http.delete(f"/admin/api/tenants/{customer.slug}", headers=program)
            await asyncio.sleep(1)
            gone.set()
            await asyncio.gather(*sending)
        faults = sum(count for status, count in statuses.items() if status >= 500)
        told = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
        found = [Finding("usage while its tenant is deleted", statuses.total(), 0, faults, told)]
        return [*found, await waiting_usage(server)] if ground.is_postgres else found


async def waiting_usage(server: Target) -> Finding:
    """Usage that waits for the very transaction in which its tenant goes."""
    customer, program = await server.customer(), await server.operator()
    connection = await asyncpg.connect(server.ground.url.replace("+asyncpg", ""))
    try:
        async with connection.transaction():
            # As the last piece of a deletion, without the rows that it has removed before.
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute("DELETE FROM tenants WHERE slug = $1", customer.slug)

            def send(number: int) -> Awaitable[Response]:
                events = {"events": [{"id": f"{number}", "kind": "run", "quantity": 1}]}
                return server.http.post(f"/usage/{customer.slug}/events", headers=program, json=events)

            sending = [asyncio.ensure_future(send(number)) for number in range(SENDERS)]
            await asyncio.sleep(1)
        answers = await asyncio.gather(*sending)
    finally:
        await connection.close()
    statuses = Counter(answer.status_code for answer in answers)
    told = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    return Finding("usage that waits for its tenant's end", SENDERS, count_of(answers), faults_of(answers), told)
