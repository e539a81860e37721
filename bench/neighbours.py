"""Twenty quiet tenants beside one that sends a hundred times the load of all of them: what the quiet ones notice.

    .venv/bin/python -m bench.neighbours [--rounds 3] [--seconds 20] [--workers 1] [--json]

Each quiet tenant has one device, which reads its policy twice a second on a connection of its own; the noisy tenant
has ten devices that read theirs 4,000 times a second together. Both sides send by the clock and not when an answer
frees them. On PostgreSQL: the server that TEST_DATABASE_URL names, or an embedded one from the dev extra.

Four situations take turns. The second one sends the noisy load to a bare Sanic handler instead of the portal: what
the quiet ones lose there is the machine's doing, since both loads, both servers and the database share its cores.
With the default limits the noisy devices wait for their turns and, once their minute is spent, for their refusals, so
that they come to ask less than they would, and the quiet ones never are. What is allowed in a minute is seen in whole
minutes only, so with limits a round is one, from the first request of the noise on. The exit code is 1 when a bar is
missed, a quiet tenant sees an error, or the noisy side did not bring its load where nothing limits it, or was not
refused where it should have been.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from support.databases import PostgresDatabases, postgres_server
from support.processes import ServerProcess, served

from app.services.billing.plans import ensure_plan
from app.services.billing.subscriptions import link_subscription
from app.services.licensing.activation import activate
from app.services.licensing.codes import generate_codes
from app.services.tenants.onboarding import ensure_tenant
from bench.load import Measured, require_wrk, wrk
from bench.markdown import table
from bench.scenarios import BARE
from bench.servers import answered, compared, samples

QUIET_TENANTS = 20
QUIET_PER_SECOND = 40
NOISY_DEVICES = 10
NOISY_PER_SECOND = 100 * QUIET_PER_SECOND
NOISY_CONNECTIONS = 48
# Seconds by which the noisy side goes on after the quiet one, so that it is there until the end.
OUTLASTING = 1
# Of the situation with limits, whatever is asked for.
WHOLE_MINUTE = 60
BROUGHT = 0.9
POLICY = "/licenses/policy"
PATHS = {"bare": "/", "unlimited": POLICY, "limited": POLICY}

# The next free place on the clock is taken, whichever connection asks; one that is late sends at once.
PACED = """
local ffi = require("ffi")
ffi.cdef[[ typedef struct { long seconds; long nanos; } moment; int clock_gettime(int clock, moment *now); ]]
local clock = ffi.new("moment")
local every, due = %(every_ms)f, nil
function delay()
  ffi.C.clock_gettime(1, clock)
  local now = tonumber(clock.seconds) * 1000 + tonumber(clock.nanos) / 1000000
  due = due and due + every or now
  return math.max(0, math.floor(due - now + 0.5))
end
local tokens, at = {%(tokens)s}, 0
function request()
  at = at %% #tokens + 1
  wrk.headers["Authorization"] = "Bearer " .. tokens[at]
  return wrk.format("GET")
end
"""


@dataclass(frozen=True)
class Situation:
    """Where the two loads go, and by how much the quiet ones' p99 may grow over being alone."""

    name: str
    quiet_on: str
    noisy_on: str | None
    bar: float | None


SITUATIONS = (
    Situation("alone", "unlimited", None, None),
    Situation("the noise goes to a bare server", "unlimited", "bare", None),
    Situation("beside the noise, limits off", "unlimited", "unlimited", 2.0),
    Situation("beside the noise, default limits", "limited", "limited", 1.2),
)


@dataclass(frozen=True)
class Round:
    """One situation once: the quiet side, the noisy side if there was one, and how often that was refused."""

    quiet: Measured
    noisy: Measured | None
    refused: int


async def devices_of(server: ServerProcess, slug: str, count: int) -> list[str]:
    """A new tenant with so many devices; answers their access tokens."""
    await ensure_tenant(server.ctx, name=slug, slug=slug)
    await link_subscription(server.ctx, tenant_slug=slug, plan_name="Neighbours")
    (code,) = await generate_codes(server.ctx, slug, max_uses=count)
    return [(await activate(server.ctx, slug, code, f"hw-{number}")).access_token for number in range(count)]


async def scripts(server: ServerProcess, folder: Path) -> dict[str, Path]:
    """What wrk runs for the quiet and for the noisy side."""
    await server.runtime.tokens.load()
    await ensure_plan(server.ctx, name="Neighbours", price_id="neighbours", quota=100)
    quiet = [(await devices_of(server, f"quiet-{number:02}", 1))[0] for number in range(QUIET_TENANTS)]
    noisy = await devices_of(server, "noisy", NOISY_DEVICES)
    made = {}
    for side, tokens, rate in (("quiet", quiet, QUIET_PER_SECOND), ("noisy", noisy, NOISY_PER_SECOND)):
        told = ",".join(f'"{token}"' for token in tokens)
        made[side] = folder / f"{side}.lua"
        made[side].write_text(PACED % {"tokens": told, "every_ms": 1000 / rate})
    return made


@contextlib.asynccontextmanager
async def targets(url: str, folder: Path, workers: int) -> AsyncIterator[tuple[dict[str, str], dict[str, Path]]]:
    """The addresses of the three servers, two of them on one database, and the scripts."""
    given = {"PORTAL_ACCESS_TOKEN_SECONDS": "86400", "PORTAL_LOG_LEVEL": "info"}
    async with (
        compared([BARE], url, folder) as others,
        served(url, folder, workers=workers, **given) as unlimited,
        served(url, folder, workers=workers, **given, PORTAL_RATE_LIMITS="on") as limited,
    ):
        addresses = {"bare": others[BARE].url, "unlimited": unlimited.base_url, "limited": limited.base_url}
        yield addresses, await scripts(unlimited, folder)


async def one_round(
    situation: Situation, addresses: Mapping[str, str], made: Mapping[str, Path], seconds: int
) -> Round:
    """Run the noisy side, if there is one, beside the quiet one."""
    url = addresses[situation.quiet_on] + PATHS[situation.quiet_on]
    quiet = {"connections": QUIET_TENANTS, "seconds": seconds, "script": made["quiet"]}
    if situation.noisy_on is None:
        return Round(await asyncio.to_thread(wrk, url, **quiet), None, 0)
    address = addresses[situation.noisy_on]
    noisy = {"connections": NOISY_CONNECTIONS, "seconds": seconds + OUTLASTING, "script": made["noisy"]}
    before = await refusals(situation, address)
    seen, brought = await asyncio.gather(
        asyncio.to_thread(wrk, url, **quiet),
        asyncio.to_thread(wrk, address + PATHS[situation.noisy_on], **noisy),
    )
    return Round(seen, brought, round(await refusals(situation, address) - before))


async def refusals(situation: Situation, address: str) -> float:
    """How many policies this server has refused with 429 so far; a bare one refuses nobody."""
    if situation.noisy_on == "bare":
        return 0
    return answered(await samples(address), route=POLICY, status="429")


async def measure(url: str, folder: Path, rounds: int, seconds: int, workers: int) -> dict[str, list[Round]]:
    """All situations in turn, as often as there are rounds."""
    figures: dict[str, list[Round]] = defaultdict(list)
    async with targets(url, folder, workers) as (addresses, made):
        for number in range(rounds):
            for situation in SITUATIONS:
                lasting = WHOLE_MINUTE if situation.quiet_on == "limited" else seconds
                found = await one_round(situation, addresses, made, lasting)
                figures[situation.name].append(found)
                noise = f", noise {found.noisy.requests_per_second:,.0f}/s" if found.noisy else ""
                told = f"{situation.name}: p50 {found.quiet.p50_ms} ms, p99 {found.quiet.p99_ms} ms{noise}"
                print(f"{number + 1}/{rounds} {told}", file=sys.stderr)
    return figures


def summary(figures: Mapping[str, Sequence[Round]]) -> list[dict[str, object]]:
    """A row for each situation: medians of the rounds, and whether its bar is met."""
    rows = []
    alone = statistics.median(found.quiet.p99_ms for found in figures[SITUATIONS[0].name])
    for situation in SITUATIONS:
        found = figures[situation.name]
        p99 = statistics.median(one.quiet.p99_ms for one in found)
        errors = sum(one.quiet.errors for one in found)
        noise = [one.noisy for one in found if one.noisy is not None]
        brought = statistics.median(one.requests_per_second for one in noise) if noise else None
        refused = sum(one.refused for one in found)
        # What is neither an answer nor a refusal; the last refusals may come after wrk has stopped counting.
        lost = max(0, sum(one.errors for one in noise) - refused)
        is_limited = situation.noisy_on == "limited"
        # Who is refused waits for it, and so comes to ask less: that is how the limit protects the others.
        is_whole = brought is None or (lost == 0 and (is_limited or brought >= BROUGHT * NOISY_PER_SECOND))
        rows.append(
            {
                "situation": situation.name,
                "quiet_per_second": round(statistics.median(one.quiet.requests_per_second for one in found), 1),
                "p50_ms": round(statistics.median(one.quiet.p50_ms for one in found), 2),
                "p99_ms": round(p99, 2),
                "of_alone": round(p99 / alone, 2),
                "bar": situation.bar,
                "quiet_errors": errors,
                "noisy_per_second": None if brought is None else round(brought),
                "noisy_429": refused,
                "noisy_errors": lost,
                "met": errors == 0
                and is_whole
                and is_limited == (refused > 0)
                and (situation.bar is None or p99 <= situation.bar * alone),
                "rounds": [asdict(one) for one in found],
            }
        )
    return rows


def main() -> int:
    """Answer the exit code."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=20, help="of each round without limits")
    options.add_argument("--workers", type=int, default=1, help="of each portal")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    require_wrk()
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as room, postgres_server(durable=True) as postgres:
        folder = Path(room)
        databases = PostgresDatabases(postgres, folder)
        try:
            with databases.fresh(folder) as url:
                figures = asyncio.run(measure(url, folder, chosen.rounds, chosen.seconds, chosen.workers))
        finally:
            databases.close()
    rows = summary(figures)
    columns = [column for column in rows[0] if column != "rounds"]
    shown = ([row[column] for column in columns] for row in rows)
    print(json.dumps(rows, indent=1) if chosen.json else table(columns, shown))
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
