"""Whether time tells which tenants there are, and how soon a code leaves; quote the medians and their interval.

    .venv/bin/python -m bench.sign_in [--rounds N]

One worker of a real server per database, known and unknown slugs asked in random order. Beside the difference of the
medians stands where it lies in 95 of 100 drawings from what was measured: an interval around 0 tells nobody anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx2
from support.databases import PostgresDatabases, SqliteDatabases, postgres_server
from support.processes import ServerProcess, served
from support.sign_in import GENERATE, VERIFY

from app.services.tenants.onboarding import ensure_tenant

TENANTS = 50
LETTERS = 10
DRAWINGS = 1000
# On, as in earnest, and never reached: to count is part of what is measured.
LIMITS = {
    "PORTAL_RATE_LIMITS": "on",
    "PORTAL_ONE_TIME_PASSWORDS_PER_TENANT": "1000000",
    "PORTAL_ONE_TIME_PASSWORDS_PER_TENANT_AND_ADDRESS": "1000000",
    "PORTAL_ONE_TIME_PASSWORDS_PER_BROWSER": "1000000",
    "PORTAL_ONE_TIME_PASSWORD_GUESSES_PER_TENANT_AND_ADDRESS": "1000000",
    "PORTAL_ONE_TIME_PASSWORDS_PER_ADDRESS": "1000000",
    "PORTAL_ONE_TIME_PASSWORD_GUESSES_PER_ADDRESS": "1000000",
    "PORTAL_ONE_TIME_PASSWORD_ATTEMPTS": "10",
}


async def timed(client: httpx2.AsyncClient, path: str, slug: str) -> float:
    """Milliseconds of one answer."""
    body = {"tenant_slug": slug} if path == GENERATE else {"tenant_slug": slug, "otp_code": "000000"}
    began = time.perf_counter()
    await client.post(path, json=body)
    return (time.perf_counter() - began) * 1000


async def compare(server: ServerProcess, rounds: int) -> dict[str, dict[str, float]]:
    """Medians of known and unknown slugs, and what two halves of the known ones differ by."""
    for number in range(TENANTS):
        await ensure_tenant(server.ctx, name=f"T{number}", slug=f"known-{number:03d}", email="it@example.com")
    figures = {}
    async with httpx2.AsyncClient(base_url=server.base_url, trust_env=False, timeout=60) as client:
        for path in (GENERATE, VERIFY):
            order = [kind for kind in ("known", "unknown") for _ in range(rounds)]
            random.shuffle(order)
            taken: dict[str, list[float]] = defaultdict(list)
            for kind in order:
                taken[kind].append(await timed(client, path, f"{kind}-{random.randrange(TENANTS):03d}"))
            # What was sent meanwhile would disturb the next.
            await asyncio.sleep(10)
            known, unknown = taken["known"], taken["unknown"]
            figures[path.rpartition("/")[2]] = {
                "known_ms": statistics.median(known),
                "unknown_ms": statistics.median(unknown),
                "difference_ms": statistics.median(known) - statistics.median(unknown),
                **interval(known, unknown),
            }
        figures["letter"] = {"seconds": await soon(server, client)}
    return figures


def interval(known: list[float], unknown: list[float]) -> dict[str, float]:
    """Where the difference of the medians lies, by drawing again from what was measured."""
    drawn = sorted(
        statistics.median(random.choices(known, k=len(known)))
        - statistics.median(random.choices(unknown, k=len(unknown)))
        for _ in range(DRAWINGS)
    )
    return {"from_ms": drawn[DRAWINGS // 40], "to_ms": drawn[-DRAWINGS // 40]}


async def soon(server: ServerProcess, client: httpx2.AsyncClient) -> float:
    """The median of the seconds from the answer to the mail."""
    taken = []
    folder = server.runtime.settings.state_dir / "mailbox"
    for number in range(LETTERS):
        known = len(list(folder.glob("[!.]*")))
        await client.post(GENERATE, json={"tenant_slug": f"known-{number:03d}"})
        began = time.perf_counter()
        while len(list(folder.glob("[!.]*"))) == known:  # noqa: ASYNC110 - another process writes them
            await asyncio.sleep(0.01)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


async def measure(database: str, folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """The figures on one database."""
    async with served(database, folder, workers=1, **LIMITS) as server:
        return await compare(server, rounds)


def main() -> int:
    """Measure on both databases and print the figures as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=300, help="requests of each kind")
    rounds = options.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as name, postgres_server(durable=True) as server:
        folders = [Path(name) / kind for kind in ("sqlite", "postgresql")]
        for folder in folders:
            folder.mkdir()
        found = {}
        for databases, folder in (
            (SqliteDatabases(folders[0]), folders[0]),
            (PostgresDatabases(server, folders[1]), folders[1]),
        ):
            with databases.fresh(folder) as address:
                found[databases.name] = asyncio.run(measure(address, folder, rounds))
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
