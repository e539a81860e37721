"""Whether a Stripe that never answers harms the answers to devices beside it.

    .venv/bin/python -m bench.stripe_away [--database sqlite|postgresql] [--rounds 5] [--seconds 4] [--json]

One server with one worker, and a Stripe that takes connections and says nothing. In each round devices ask for their
policy, first by themselves and then while so many tenants try to pay, each again as soon as it was answered 503. Quote
the ratios. Needs wrk. The exit code is 1 if the median of the ratios of p99 is above 1.2.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from support.admin import as_tenant
from support.processes import served

from app.services.billing.plans import ensure_plan
from app.services.tenants.onboarding import ensure_tenant
from bench.command_line import options_of, own_room, show
from bench.databases import address, seeded
from bench.load import Measured, wrk
from bench.scenarios import policy
from bench.servers import TOKEN_SECONDS

UPGRADE = "/api/tenant/billing/upgrade"
MAX_RATIO = 1.2
STRIPE_SECONDS = 2


class Pair(NamedTuple):
    """Policies by themselves and beside tenants that try to pay; how these were answered, by status."""

    alone: Measured
    beside: Measured
    answered: Mapping[int, int]


@contextlib.asynccontextmanager
async def silent_stripe() -> AsyncIterator[str]:
    """The address of a Stripe that takes every connection and never answers."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def pay(url: str, callers: Sequence[Mapping[str, str]], plan_id: int, answered: Counter[int]) -> None:
    """Each tenant asks for a checkout, again and again, until this is canceled."""

    async def again(http: httpx2.AsyncClient, headers: Mapping[str, str]) -> None:
        while True:
            answer = await http.post(UPGRADE, headers=dict(headers), json={"planId": plan_id})
            answered[answer.status_code] += 1

    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as http, asyncio.TaskGroup() as group:
        for headers in callers:
            group.create_task(again(http, headers))


async def measure(url: str, folder: Path, *, rounds: int, seconds: int, number: int) -> list[Pair]:
    """The rounds, each side first once unmeasured."""
    pairs = []
    async with silent_stripe() as stripe, seeded(url, folder) as fleet:
        given = {
            "PORTAL_STRIPE_SECRET_KEY": "sk_test_of_the_bench",
            "PORTAL_STRIPE_API_BASE": stripe,
            "PORTAL_STRIPE_TIMEOUT_SECONDS": str(STRIPE_SECONDS),
            "PORTAL_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS),
        }
        async with served(url, folder, workers=1, **given) as server:
            live: Any = server
            plan, _ = await ensure_plan(server.ctx, name="Paid", price_id="price_paid", quota=10)
            callers = []
            for place in range(number):
                tenant, _ = await ensure_tenant(server.ctx, name=f"Payer {place}", slug=f"payer-{place}")
                callers.append(await as_tenant(live, tenant.id))
            script = folder / "policy.lua"
            script.write_text(await policy(fleet))
            for warm_up_and_round in range(rounds + 1):
                alone = await asyncio.to_thread(wrk, server.base_url, seconds=seconds, script=script)
                answered: Counter[int] = Counter()
                paying = asyncio.create_task(pay(server.base_url, callers, plan.id, answered))
                await asyncio.sleep(STRIPE_SECONDS / 2)
                beside = await asyncio.to_thread(wrk, server.base_url, seconds=seconds, script=script)
                paying.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await paying
                if warm_up_and_round:
                    pairs.append(Pair(alone, beside, answered))
                    told = f"p99 {alone.p99_ms} ms alone, {beside.p99_ms} ms beside; {dict(answered)}"
                    print(f"{warm_up_and_round}/{rounds}: {told}", file=sys.stderr)
    return pairs


def summary(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Medians of both sides, and of the ratios of the rounds."""
    row: dict[str, Any] = {}
    for name in ("requests_per_second", "p50_ms", "p99_ms"):
        alone, beside = (
            [getattr(side, name) for side in sides] for sides in zip(*((p[0], p[1]) for p in pairs), strict=True)
        )
        row[f"{name} alone"] = round(statistics.median(alone), 2)
        row[f"{name} beside"] = round(statistics.median(beside), 2)
        row[f"{name} ratio"] = round(statistics.median(b / a for a, b in zip(alone, beside, strict=True)), 2)
    row["errors"] = sum(pair.alone.errors + pair.beside.errors for pair in pairs)
    row["503"] = sum(pair.answered.get(503, 0) for pair in pairs)
    row["others"] = sum(count for pair in pairs for status, count in pair.answered.items() if status != 503)
    return row


def main() -> int:
    """Answer the exit code."""
    options = options_of(__doc__)
    options.add_argument("--callers", type=int, default=20)
    chosen = options.parse_args()
    with own_room(chosen.database) as (folder, postgres), address(chosen.database, postgres, folder) as url:
        measured = measure(url, folder, rounds=chosen.rounds, seconds=chosen.seconds, number=chosen.callers)
        row = summary(asyncio.run(measured))
    show([row], as_json=chosen.json)
    return 0 if row["p99_ms ratio"] <= MAX_RATIO and not row["errors"] and row["503"] and not row["others"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
