"""GraphQL of this server beside the ORM design's, on the same rows of PostgreSQL in one run, alternating.

    .venv/bin/python -m bench.graph [--rounds 5] [--seconds 4] [--connections 16] [--profile] [--json]

One worker each: Ariadne on Sanic as a user starts it, and Strawberry on FastAPI with an ORM session and loaders for
each request. A small document asks for one project, a nested one for fifty with twenty tasks each; both have to answer
the same first. Quote the ratios: that of the workers' processor time for a request moves least where others use the
machine. Exits 1 if a bar is missed. Needs wrk.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import asyncpg
import httpx2
import psutil
from support.databases import postgres_server

from bench.alone import portal_server
from bench.bars import POSTGRES
from bench.databases import address, seeded
from bench.graph_rows import PROJECTS, TASKS, Asking, seed_runs
from bench.load import Measured, require_wrk, wrk
from bench.markdown import table
from bench.profiles import profiled
from bench.scenarios import ORM, PORTAL
from bench.servers import Server, compared, forget_settings

CONNECTIONS = 16
# How many times as much this server answers, and its latency's bar.
TIMES = {"small": 6.0, "nested": 4.0}
P99_OF_P50 = 4.0
SMALL = """query Project($id: String!) {
  project(id: $id) { id name objective status completionPercentage totalTasks completedTasks failedTasks createdAt }
}"""
NESTED = f"""query Projects {{
  projects(limit: {PROJECTS}) {{
    id name status completionPercentage
    tasks(limit: {TASKS}) {{ id title status agentType priority createdAt completedAt durationSeconds }}
  }}
}}"""
MOMENTS = {"createdAt", "completedAt"}

# The requests are written before the load begins.
SCRIPT = """
local bodies, tokens, requests, at = {%s}, {%s}, {}, 0
init = function()
  for number, body in ipairs(bodies) do
    requests[number] = wrk.format("POST", "/graphql",
      {["Content-Type"] = "application/json", ["X-Session-Token"] = tokens[number]}, body)
  end
end
request = function()
  at = at %% #requests + 1
  return requests[at]
end
"""


class Request(NamedTuple):
    """What one of the tenants asks."""

    token: str
    body: str


def requests_of(asking: Sequence[Asking]) -> dict[str, list[Request]]:
    """What is asked of each document, all tenants in turn."""
    small = [
        Request(one.token, json.dumps({"query": SMALL, "variables": {"id": one.project_ids[number]}}))
        for number in range(PROJECTS)
        for one in asking
    ]
    return {"small": small, "nested": [Request(one.token, json.dumps({"query": NESTED})) for one in asking]}


def script_of(requests: Sequence[Request]) -> str:
    """The same for the load generator."""
    # A JSON text is a text of Lua as well, because none of its characters is written with \\u.
    bodies = ",".join(json.dumps(request.body) for request in requests)
    return SCRIPT % (bodies, ",".join(json.dumps(request.token) for request in requests))


async def check(servers: Sequence[Server], requests: dict[str, list[Request]]) -> None:
    """Raise AssertionError where two servers answer something else, or less than all rows."""
    for name, asked in requests.items():
        for request in asked[:: max(1, len(asked) // 20)]:
            told = [await _answer(server, request) for server in servers]
            assert all(one == told[0] for one in told), f"{name}: {told}"
            if name == "nested":
                sizes = [len(project["tasks"]) for project in told[0]["projects"]]
                assert sizes == [TASKS] * PROJECTS, sizes


async def _answer(server: Server, request: Request) -> Any:
    headers = {"x-session-token": request.token, "content-type": "application/json"}
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        answer = await http.post("/graphql", content=request.body, headers=headers)
    told = json.loads(answer.text, object_pairs_hook=_with_moments)
    assert (answer.status_code, told.get("errors")) == (200, None), f"{server.name}: {answer.text[:1000]}"
    return told["data"]


def _with_moments(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose moments are compared as such: one server writes Z, the other +00:00."""
    return {
        name: datetime.fromisoformat(value) if name in MOMENTS and value is not None else value
        for name, value in members
    }


@dataclass
class Rounds:
    """The rounds of one document on one server."""

    rates: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    # Processor time of the worker for a request.
    cpu_ms: list[float] = field(default_factory=list)
    errors: int = 0

    def add(self, measured: Measured, connections: int, cpu_seconds: float) -> None:
        """One more; the requests that were cut off at its end are half done, one of each connection."""
        self.rates.append(measured.requests_per_second)
        self.p50_ms.append(measured.p50_ms)
        self.p99_ms.append(measured.p99_ms)
        self.cpu_ms.append(cpu_seconds * 1000 / (measured.requests + connections / 2))
        self.errors += measured.errors

    @property
    def tail(self) -> float:
        """The median of the 99th percentiles in parts of the medians."""
        return median(p99 / p50 for p99, p50 in zip(self.p99_ms, self.p50_ms, strict=True) if p50)


Figures = defaultdict[tuple[str, str], Rounds]


async def measure(
    servers: Sequence[Server], scripts: dict[str, Path], *, rounds: int, seconds: float, connections: int
) -> Figures:
    """Each document on each server in turn, each first once unmeasured."""
    figures: Figures = defaultdict(Rounds)
    for number in range(-1, rounds):
        for name, script in scripts.items():
            for server in servers:
                duration = seconds if number >= 0 else 1
                load = {"connections": connections, "seconds": duration, "script": script}
                before = processor_seconds(server)
                measured = await asyncio.to_thread(wrk, f"{server.url}/", **load)
                computed = processor_seconds(server) - before
                await server.settle()
                if number >= 0:
                    figures[name, server.name].add(measured, connections, computed)
                told = f"{measured.requests_per_second:.0f}/s, p50 {measured.p50_ms} ms, p99 {measured.p99_ms} ms"
                print(f"{number + 1}/{rounds} {name} {server.name}: {told}", file=sys.stderr)
    return figures


def processor_seconds(server: Server) -> float:
    """What its worker has computed so far."""
    times = psutil.Process(server.pid).cpu_times()
    return times.user + times.system


def summary(figures: Figures) -> list[dict[str, object]]:
    """A row for each document: medians of the rounds, and their ratios."""
    rows = []
    for name, least in TIMES.items():
        ours, theirs = figures[name, PORTAL], figures[name, ORM]
        times = median(ours.rates) / median(theirs.rates)
        is_met = times >= least and ours.tail <= P99_OF_P50 and median(ours.p50_ms) < median(theirs.p50_ms)
        rows.append(
            {
                "document": name,
                "portal/s": round(median(ours.rates), 1),
                "p50 ms": round(median(ours.p50_ms), 2),
                "p99 ms": round(median(ours.p99_ms), 2),
                "p99 of p50": round(ours.tail, 2),
                "processor ms": round(median(ours.cpu_ms), 3),
                "ORM design/s": round(median(theirs.rates), 1),
                "its p50 ms": round(median(theirs.p50_ms), 2),
                "its p99 ms": round(median(theirs.p99_ms), 2),
                "its processor ms": round(median(theirs.cpu_ms), 3),
                "times": round(times, 2),
                "times less processor": round(median(theirs.cpu_ms) / median(ours.cpu_ms), 2),
                "bar": least,
                "errors": ours.errors + theirs.errors,
                "met": is_met and not ours.errors + theirs.errors,
            }
        )
    return rows


@contextlib.asynccontextmanager
async def ready(url: str, folder: Path) -> AsyncIterator[tuple[list[Server], dict[str, list[Request]]]]:
    """Both servers on a database with the rows, and what to ask them; they have answered the same."""
    async with seeded(url, folder) as fleet:
        requests = requests_of(await seed_runs(fleet))
        connection = await asyncpg.connect(fleet.runtime.db.url.set(drivername="postgresql").render_as_string(False))
        await connection.execute("VACUUM ANALYZE")
        await connection.close()
        async with compared([ORM], url, folder) as others, portal_server(url, folder) as portal:
            servers = [others[ORM], portal]
            await check(servers, requests)
            yield servers, requests


async def run(url: str, folder: Path, chosen: argparse.Namespace) -> int:
    """Measure or profile, and print; the exit code."""
    async with ready(url, folder) as (servers, requests):
        scripts = {}
        for name, asked in requests.items():
            scripts[name] = folder / f"{name}.lua"
            scripts[name].write_text(script_of(asked))
        if chosen.profile:
            for name, script in scripts.items():
                told = await profiled(servers[-1], script, folder, seconds=round(chosen.seconds), lines=40)
                print(f"\n{name}{told}")
            return 0
        load = {"rounds": chosen.rounds, "seconds": chosen.seconds, "connections": chosen.connections}
        rows = summary(await measure(servers, scripts, **load))
    print(json.dumps(rows, indent=1) if chosen.json else table(list(rows[0]), (list(row.values()) for row in rows)))
    return 0 if all(row["met"] for row in rows) else 1


def main() -> int:
    """Answer the exit code."""
    options = argparse.ArgumentParser(prog="bench.graph", description=str(__doc__).splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--connections", type=int, default=CONNECTIONS)
    options.add_argument("--profile", action="store_true", help="where this server's time goes, instead")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    require_wrk()
    forget_settings()
    with (
        tempfile.TemporaryDirectory(prefix="portal-bench-") as room,
        postgres_server(durable=True) as postgres,
        address(POSTGRES, postgres, Path(room)) as url,
    ):
        return asyncio.run(run(url, Path(room), chosen))


if __name__ == "__main__":
    raise SystemExit(main())
