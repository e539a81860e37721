"""Policy and heartbeat against a bare Sanic handler, in one run, alternating; quote the ratios, not the figures.

    .venv/bin/python bench/hot_paths.py [--rounds 5] [--seconds 4] [--json]

One worker, wrk with 32 connections, 500 devices with a token each, on SQLite and on PostgreSQL: the server that
TEST_DATABASE_URL names, or an embedded one from the dev extra. While the load runs one more device is revoked, and
must be refused at its next call. Needs wrk (Debian's package of that name).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.databases import PostgresDatabases, postgres_server  # noqa: E402
from support.processes import ServerProcess, served  # noqa: E402

from app.services.billing.plans import seed_plan  # noqa: E402
from app.services.billing.subscriptions import link_subscription  # noqa: E402
from app.services.licensing.activation import activate  # noqa: E402
from app.services.licensing.devices import revoke_device  # noqa: E402
from app.services.licensing.issue import generate_codes  # noqa: E402
from app.services.tenants.directory import add_tenant  # noqa: E402

CONNECTIONS = 32
BARE_PORT = 18080
TENANTS = 50
DEVICES_EACH = 10
BARS = {
    ("postgresql", "policy"): 0.45,
    ("postgresql", "heartbeat"): 0.45,
    ("sqlite", "policy"): 0.35,
    ("sqlite", "heartbeat"): 0.25,
}

POLICY = """
local tokens = {%s}
local at = 0
request = function()
  at = at %% #tokens + 1
  wrk.headers["Authorization"] = "Bearer " .. tokens[at][1]
  return wrk.format("GET", "/licenses/policy")
end
"""
HEARTBEAT = """
local tokens = {%s}
local at = 0
wrk.headers["Content-Type"] = "application/json"
request = function()
  at = at %% #tokens + 1
  wrk.headers["Authorization"] = "Bearer " .. tokens[at][1]
  return wrk.format("POST", "/licenses/heartbeat", nil, '{"hw_fingerprint":"' .. tokens[at][2] .. '"}')
end
"""


@dataclass
class Figures:
    """One path's rounds: requests per second, latencies in milliseconds, answers that were not 2xx."""

    requests: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    errors: int = 0


def wrk(url: str, seconds: int, script: Path | None = None) -> tuple[float, float, float, int]:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", url]
    if script:
        command[1:1] = ["-s", str(script)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    errors = sum(int(found) for found in re.findall(r"Non-2xx or 3xx responses: (\d+)", told))
    for kinds in re.findall(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", told):
        errors += sum(int(kind) for kind in kinds)
    return _figure(told, r"Requests/sec:\s+([\d.]+)"), _ms(told, "50%"), _ms(told, "99%"), errors


def _figure(told: str, pattern: str) -> float:
    found = re.search(pattern, told)
    assert found, told
    return float(found[1])


def _ms(told: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", told)
    assert found, told
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


async def seed(server: ServerProcess) -> list[tuple[str, str]]:
    """Five hundred devices of fifty tenants, and one more that will be revoked: access token and fingerprint each."""
    await server.runtime.tokens.load()
    await seed_plan(server.ctx, name="Bench", price_id="bench", quota=100)
    devices = []
    for number in range(TENANTS):
        slug = f"bench-{number:03}"
        await add_tenant(server.ctx, name=slug, slug=slug)
        await link_subscription(server.ctx, tenant_slug=slug, plan_name="Bench")
        (code,) = await generate_codes(server.ctx, slug, max_uses=DEVICES_EACH + 1)
        for device in range(DEVICES_EACH + (number == 0)):
            pair = await activate(server.ctx, slug, code, f"hw-{device}")
            devices.append((pair.access_token, f"hw-{device}", pair.device_id))
    doomed = devices.pop(DEVICES_EACH)
    return [(token, hardware) for token, hardware, _ in devices] + [(doomed[0], str(doomed[2]))]


def scripts(folder: Path, devices: list[tuple[str, str]]) -> dict[str, Path]:
    told = ",".join(f'{{"{token}","{hardware}"}}' for token, hardware in devices)
    made = {"policy": folder / "policy.lua", "heartbeat": folder / "heartbeat.lua"}
    made["policy"].write_text(POLICY % told)
    made["heartbeat"].write_text(HEARTBEAT % told)
    return made


async def revoked_under_load(server: ServerProcess, doomed: tuple[str, str]) -> bool:
    """Whether a device that was served is refused at the first call after its revocation."""
    headers = {"authorization": f"Bearer {doomed[0]}"}
    before = await server.http.get("/licenses/policy", headers=headers)
    await revoke_device(server.ctx, "bench-000", int(doomed[1]))
    after = await server.http.get("/licenses/policy", headers=headers)
    return (before.status_code, after.status_code) == (200, 401)


@contextlib.asynccontextmanager
async def bare_server(port: int) -> AsyncIterator[str]:
    process = subprocess.Popen([sys.executable, str(ROOT / "bench" / "bare.py"), str(port)], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    try:
        async with httpx2.AsyncClient(trust_env=False) as http:
            for _ in range(100):
                with contextlib.suppress(httpx2.TransportError):
                    await http.get(url)
                    break
                await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


async def measure(name: str, url: str, folder: Path, rounds: int, seconds: int) -> dict[str, Figures]:
    figures: dict[str, Figures] = defaultdict(Figures)
    long_tokens = {"PORTAL_ACCESS_TOKEN_SECONDS": "86400", "PORTAL_LOG_LEVEL": "info"}
    async with bare_server(BARE_PORT) as bare, served(url, folder, workers=1, **long_tokens) as server:
        *devices, doomed = await seed(server)
        made = scripts(folder, devices)
        for number in range(rounds):
            for path, target, script in (
                ("bare", bare, None),
                ("policy", server.base_url, made["policy"]),
                ("heartbeat", server.base_url, made["heartbeat"]),
            ):
                running = asyncio.create_task(asyncio.to_thread(wrk, target, seconds, script))
                if number == 0 and path == "policy":
                    await asyncio.sleep(seconds / 2)
                    assert await revoked_under_load(server, doomed), "a revoked device was served"
                requests, p50, p99, errors = await running
                figures[path].requests.append(requests)
                figures[path].p50.append(p50)
                figures[path].p99.append(p99)
                figures[path].errors += errors
                print(f"{name} {number + 1}/{rounds} {path}: {requests:,.0f}/s", file=sys.stderr)
    return figures


def main() -> int:
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is missing: apt install wrk", file=sys.stderr)
        return 2
    os.environ["PORTAL_RATE_LIMITS"] = "off"
    results = {}
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as room, postgres_server(durable=True) as postgres:
        for name in ("postgresql", "sqlite"):
            folder = Path(room) / name
            folder.mkdir()
            url = contextlib.nullcontext(f"sqlite+aiosqlite:///{folder}/portal.db")
            if name == "postgresql":
                url = PostgresDatabases(postgres, folder).empty(folder)
            with url as address:
                results[name] = asyncio.run(measure(name, address, folder, chosen.rounds, chosen.seconds))
    rows = list(summary(results))
    print(json.dumps(rows, indent=1) if chosen.json else table(rows))
    return 0 if all(row["met"] for row in rows) else 1


def summary(results: dict[str, dict[str, Figures]]) -> list[dict[str, object]]:
    rows = []
    for name, figures in results.items():
        bare = statistics.median(figures["bare"].requests)
        for path in ("bare", "policy", "heartbeat"):
            found = figures[path]
            ratio = statistics.median(found.requests) / bare
            bar = BARS.get((name, path))
            rows.append(
                {
                    "database": name,
                    "path": path,
                    "requests_per_second": round(statistics.median(found.requests)),
                    "p50_ms": statistics.median(found.p50),
                    "p99_ms": statistics.median(found.p99),
                    "errors": found.errors,
                    "of_bare": round(ratio, 2),
                    "bar": bar,
                    "met": found.errors == 0 and (bar is None or ratio >= bar),
                    "rounds": asdict(found)["requests"],
                }
            )
    return rows


def table(rows: list[dict[str, object]]) -> str:
    columns = ("database", "path", "requests_per_second", "p50_ms", "p99_ms", "errors", "of_bare", "bar")
    lines = [columns, ["---"] * len(columns)]
    lines += [["" if row[column] is None else str(row[column]) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
