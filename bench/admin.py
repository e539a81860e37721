"""How many of an operator's lists and dashboards two workers answer, beside a bare handler and the original's figures.

    .venv/bin/python -m bench.admin --database-url URL [--rounds 3] [--seconds 3] [--only text] [--json]

The database is PostgreSQL, one of ``bench.growth`` with a thousand tenants. wrk with 16 connections and an API token,
in turn, medians of the rounds. Beside the requests is the processor time that one of them costs the workers and
PostgreSQL, where that runs on this machine: it says more than the requests where the machine is shared. The exit code
is 1 when a call that the original has been measured at is not twenty times as fast.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from sqlalchemy import text
from support.processes import ServerProcess, served

from bench.growth_lists import side_of
from bench.load import require_wrk, wrk
from bench.markdown import table
from bench.scenarios import BARE
from bench.servers import AT_REST, environment, first_answer, forget_settings, free_port, spawned

WORKERS = 2
CONNECTIONS = 16
# Whose processor time is taken, a multiple of the connections.
REQUESTS = 480
MIN_TIMES = 20
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
SESSIONS = text(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
)


@dataclass
class Call:
    """A request, and how many of it in a second the original has answered, where that was measured."""

    name: str
    path: str
    original: int | None = None
    rounds: list[float] = field(default_factory=list)
    worker_ms: list[float] = field(default_factory=list)
    postgresql_ms: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def is_met(self) -> bool:
        """Whether it is as many times as fast as the original as it has to be, and always answers."""
        return not self.errors and (self.original is None or self.middle >= MIN_TIMES * self.original)

    @property
    def middle(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    def told(self, bare: float) -> dict[str, Any]:
        """As JSON; ``bare`` are the requests of the bare handler."""
        return {
            "call": self.name,
            "requests_per_second": round(self.middle),
            "of_bare": round(self.middle / bare, 3),
            "worker_ms": round(statistics.median(self.worker_ms), 2),
            "postgresql_ms": round(statistics.median(self.postgresql_ms), 2),
            "original": self.original,
            "times_the_original": self.original and round(self.middle / self.original, 1),
            "errors": self.errors,
        }


def calls() -> list[Call]:
    """What is measured; the original's figures were taken with a thousand tenants and two workers."""
    return [
        Call("tenants, search one slug", "/admin/api/tenants?search=growth-000777", 26),
        Call("tenants", "/admin/api/tenants"),
        Call("codes", "/admin/api/codes"),
        Call("devices", "/admin/api/devices"),
        Call("events", "/admin/api/events"),
        Call("dashboard", "/admin/api/dashboard-stats", 4),
    ]


def seconds(pids: Sequence[int]) -> float:
    """Processor time of processes of this machine so far."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


async def sessions_of(server: ServerProcess) -> list[int]:
    """PostgreSQL's processes for this database."""
    async with server.ctx.read() as conn:
        return [row[0] for row in await conn.rows(SESSIONS)]


async def ask(server: ServerProcess, path: str, authorization: str, requests: int) -> None:
    """Send so many requests, over as many connections as wrk; none is left when it ends, unlike with wrk."""
    address = urlsplit(server.base_url)
    sent = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: {authorization}\r\n\r\n".encode()

    async def one_by_one() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for _ in range(requests // CONNECTIONS):
            writer.write(sent)
            length = LENGTH.search(await reader.readuntil(b"\r\n\r\n"))
            assert length is not None
            await reader.readexactly(int(length[1]))
        writer.close()

    await asyncio.gather(*(one_by_one() for _ in range(CONNECTIONS)))


async def note_cost(server: ServerProcess, call: Call, authorization: str) -> None:
    """The processor time that a request costs."""
    await ask(server, call.path, authorization, REQUESTS // 2)
    workers, sessions = server.worker_pids(), await sessions_of(server)
    before = seconds(workers), seconds(sessions)
    await ask(server, call.path, authorization, REQUESTS)
    call.worker_ms.append((seconds(workers) - before[0]) * 1_000 / REQUESTS)
    call.postgresql_ms.append((seconds(sessions) - before[1]) * 1_000 / REQUESTS)


async def measured(
    server: ServerProcess, bare_url: str, asked: Sequence[Call], folder: Path, rounds: int, length: int
) -> list[float]:
    """Fill in the figures of the calls; answers the bare handler's requests a second."""
    authorization = (await side_of(server)).headers["Authorization"]
    script = folder / "admin.lua"
    script.write_text(f'wrk.headers["Authorization"] = "{authorization}"\n')
    bare: list[float] = []
    for _ in range(rounds):
        found = await asyncio.to_thread(wrk, bare_url, connections=CONNECTIONS, seconds=length)
        bare.append(found.requests_per_second)
        for call in asked:
            await note_cost(server, call, authorization)
            address = f"{server.base_url}{call.path}"
            found = await asyncio.to_thread(wrk, address, connections=CONNECTIONS, seconds=length, script=script)
            call.rounds.append(found.requests_per_second)
            call.errors += found.errors
    return bare


async def run(url: str, folder: Path, asked: Sequence[Call], rounds: int, length: int) -> float:
    """Start both servers and measure; answers the median of the bare one."""
    given = {"PORTAL_LOG_LEVEL": "info", **AT_REST}
    port, log = free_port(), folder / "bare.log"
    with spawned(["bench/bare.py", str(port), str(WORKERS)], environment(url, folder), log) as process:
        await first_answer(f"http://127.0.0.1:{port}/", process, log)
        async with served(url, folder, workers=WORKERS, **given) as server:
            bare = await measured(server, f"http://127.0.0.1:{port}/", asked, folder, rounds, length)
    return statistics.median(bare)


def main() -> int:
    """Answer the exit code."""
    options = argparse.ArgumentParser(prog="bench.admin", description=str(__doc__).splitlines()[0])
    options.add_argument("--database-url", required=True, help="a PostgreSQL with a thousand tenants of bench.growth")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--only", default="", help="calls whose name holds this text")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    require_wrk()
    forget_settings()
    asked = [call for call in calls() if chosen.only in call.name]
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as room:
        bare = asyncio.run(run(chosen.database_url, Path(room), asked, chosen.rounds, chosen.seconds))
    told = [call.told(bare) for call in asked]
    if chosen.json:
        print(json.dumps({BARE: round(bare), "calls": told}, indent=1))
    else:
        print(f"{BARE}, {WORKERS} workers: {bare:,.0f} requests/s\n")
        columns = ("call", "requests/s", "of bare", "worker, ms", "PostgreSQL, ms", "original", "times", "errors")
        print(table(columns, (list(line.values()) for line in told)))
    return 0 if all(call.is_met for call in asked) else 1


if __name__ == "__main__":
    raise SystemExit(main())
