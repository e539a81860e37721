"""Policies per second with a thousand and with two hundred thousand tenants in the database, in one run, alternating.

    .venv/bin/python -m bench.growth_policy [--small URL --large URL] [--rounds 5] [--seconds 4] [--json]

One worker, wrk with 32 connections, 500 devices of tenants from the whole range. The databases are those of
``bench.growth``: without an address each is made on an embedded PostgreSQL, which takes a few minutes; a named one
keeps what a development server leaves in it, such as a tenant ``demo`` and signing keys. The exit code is 1 when the
larger one is more than a tenth slower.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import func, not_, select
from support.databases import PostgresDatabases, postgres_server, settings_for
from support.processes import ServerProcess, served

from bench.growth import grow
from bench.growth_rows import Shape, slug
from bench.load import Measured, require_wrk, wrk
from bench.markdown import table
from bench.scenarios import POLICY, READY_MADE
from bench.servers import AT_REST
from sql.tables import devices, tenants

SMALL = 1_000
LARGE = 200_000
TOKENS = 500
MIN_RATIO = 0.9


async def tokens_of(server: ServerProcess) -> list[str]:
    """The access tokens of one device each of tenants from the first to the last."""
    await server.runtime.tokens.load()
    async with server.ctx.read() as conn:
        ((count,),) = await conn.rows(select(func.count()).select_from(tenants))
        asking = [slug(1 + number * count // TOKENS) for number in range(TOKENS)]
        found = await conn.rows(
            select(devices.c.tenant_id, func.min(devices.c.id))
            .join(tenants, tenants.c.id == devices.c.tenant_id)
            .where(tenants.c.slug.in_(asking), not_(devices.c.is_revoked))
            .group_by(devices.c.tenant_id)
        )
    # What a token grants is read anew by the server; what it says of it here does not matter.
    return [server.runtime.tokens.issue(tenant_id, device_id, {}) for tenant_id, device_id in found]


def script(path: Path, tokens: Sequence[str]) -> Path:
    """What wrk runs."""
    bearers = ",".join(f'{{bearer="Bearer {token}"}}' for token in tokens)
    path.write_text(READY_MADE % (bearers, POLICY))
    return path


async def measure(small: str, large: str, folder: Path, rounds: int, seconds: int) -> dict[str, list[Measured]]:
    """Both sizes in turn, each first once unmeasured."""
    given = {"PORTAL_ACCESS_TOKEN_SECONDS": "86400", "PORTAL_LOG_LEVEL": "info", **AT_REST}
    figures: dict[str, list[Measured]] = {"small": [], "large": []}
    async with (
        served(small, folder, workers=1, **given) as small_server,
        served(large, folder, workers=1, **given) as large_server,
    ):
        sides = {
            name: (f"{server.base_url}/licenses/policy", script(folder / f"{name}.lua", await tokens_of(server)))
            for name, server in (("small", small_server), ("large", large_server))
        }
        for url, requests in sides.values():
            await asyncio.to_thread(wrk, url, seconds=1, script=requests)
        for number in range(rounds):
            # Whoever comes second finds the machine as the first has left it; so they take turns at that, too.
            for name in sorted(sides, reverse=number % 2 == 0):
                url, requests = sides[name]
                found = await asyncio.to_thread(wrk, url, seconds=seconds, script=requests)
                figures[name].append(found)
                print(f"{number + 1}/{rounds} {name}: {found.requests_per_second:,.0f}/s", file=sys.stderr)
    return figures


@contextlib.contextmanager
def grown(folder: Path) -> Iterator[tuple[str, str]]:
    """Two databases of an embedded server, filled."""
    with postgres_server(durable=True) as postgres:
        databases = PostgresDatabases(postgres, folder)
        try:
            with databases.empty(folder) as small, databases.empty(folder) as large:
                for url, count in ((small, SMALL), (large, LARGE)):
                    print(f"making {count:,} tenants", file=sys.stderr)
                    asyncio.run(grow(settings_for(url, folder), count, Shape()))
                yield small, large
        finally:
            databases.close()


def summary(figures: Mapping[str, Sequence[Measured]]) -> dict[str, object]:
    """The medians and their ratio."""
    told: dict[str, object] = {}
    for name, found in figures.items():
        told[name] = {
            "requests_per_second": round(statistics.median(one.requests_per_second for one in found)),
            "p50_ms": statistics.median(one.p50_ms for one in found),
            "p99_ms": statistics.median(one.p99_ms for one in found),
            "errors": sum(one.errors for one in found),
            "rounds": [asdict(one) for one in found],
        }
    middle = {name: statistics.median(one.requests_per_second for one in found) for name, found in figures.items()}
    ratio = middle["large"] / middle["small"]
    has_errors = any(one.errors for found in figures.values() for one in found)
    return {**told, "ratio": round(ratio, 3), "bar": MIN_RATIO, "met": ratio >= MIN_RATIO and not has_errors}


def main() -> int:
    """Answer the exit code."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--small", help="a database with few tenants, made by bench.growth")
    options.add_argument("--large", help="one with many")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    if bool(chosen.small) != bool(chosen.large):
        options.error("--small and --large belong together")
    require_wrk()
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as room:
        named = contextlib.nullcontext((chosen.small, chosen.large))
        with named if chosen.small else grown(Path(room)) as (small, large):
            told = summary(asyncio.run(measure(small, large, Path(room), chosen.rounds, chosen.seconds)))
    if chosen.json:
        print(json.dumps(told, indent=1))
    else:
        rows = ([name, *(value for key, value in told[name].items() if key != "rounds")] for name in ("small", "large"))
        print(table(("tenants", "requests/s", "p50 ms", "p99 ms", "errors"), rows))
        print(f"\nratio {told['ratio']}, at least {MIN_RATIO}")
    return 0 if told["met"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
