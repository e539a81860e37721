"""How soon Stripe is answered while events wait, and how soon a work process has handled a thousand of them.

    .venv/bin/python -m bench.webhooks [--database sqlite|postgresql] [--customers 100] [--rounds 3] [--json]

Each round has a database of its own. First nobody works: ten events of each customer are delivered, signed, by several
connections, and wait; then as many again are delivered and their answers timed. Then a server with one worker and one
work process starts, and handles them: the time is that from its first handled event to its last, and from its start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
import orjson
from sqlalchemy import func, select
from support.databases import postgres_server, settings_for
from support.processes import ServerProcess, served
from support.stripe_places import SECRET, signed, with_plans, with_tenant
from support.stripe_story import PRO, Event, Story

from app.database import schema
from bench.bars import POSTGRES, SQLITE
from bench.databases import address
from bench.markdown import table
from bench.servers import forget_settings
from sql.tables import billing_facts, subscriptions

WEBHOOK = "/billing/stripe/webhook"
CONNECTIONS = 2
EVENTS_EACH = 10
PATIENCE = 120.0
GOALS = {"answer_p99_ms": 20.0, "handled_seconds": 10.0}


@dataclass(frozen=True)
class Round:
    """What one round has taken; times of answers are those of the second half, while the first waits."""

    waiting: int
    answer_p50_ms: float
    answer_p99_ms: float
    # The same of an endpoint that answers a constant, in turn with them: what the machine and the client take.
    floor_p50_ms: float
    floor_p99_ms: float
    handled: int
    handled_seconds: float
    since_start_seconds: float
    active: int


def told(tenant_id: int, number: int) -> list[Event]:
    """Twenty events of a customer: it subscribes, renews, and changes its cards."""
    story = Story(f"bench{number}", tenant_id)
    story.card()
    subscription = story.subscribe(PRO)
    story.wait(30 * 86_400)
    story.renew(subscription)
    while len(story.events) < 2 * EVENTS_EACH:
        story.wait(60)
        story.card(f"{len(story.events):04}")
    return story.events[: 2 * EVENTS_EACH]


async def deliver(server: ServerProcess, events: Sequence[Event]) -> tuple[list[float], list[float]]:
    """Deliver events over some connections; the milliseconds until each answer, and until those of a constant."""
    waiting, took, floor = [orjson.dumps(event) for event in reversed(events)], [], []

    async def connection(http: httpx2.AsyncClient) -> None:
        while waiting:
            body = waiting.pop()
            headers = signed(body)
            began = time.perf_counter()
            answer = await http.post(WEBHOOK, content=body, headers=headers)
            answered = time.perf_counter()
            await http.get("/healthz")
            took.append((answered - began) * 1000)
            floor.append((time.perf_counter() - answered) * 1000)
            if answer.status_code != 200:
                raise SystemExit(f"{answer.status_code}: {answer.text}")

    async with httpx2.AsyncClient(base_url=server.base_url, trust_env=False, timeout=60) as http:
        await asyncio.gather(*(connection(http) for _ in range(CONNECTIONS)))
    return sorted(took), sorted(floor)


def p99(sorted_times: Sequence[float]) -> float:
    return round(sorted_times[int(len(sorted_times) * 0.99)], 2)


async def measure(url: str, folder: Path, customers: int) -> Round:
    """One round on a database of its own."""
    given = {"PORTAL_STRIPE_WEBHOOK_SECRET": SECRET}
    async with served(url, folder, workers=1, PORTAL_WORK_PROCESSES="elsewhere", **given) as server:
        await with_plans(server.ctx)
        ids = [await with_tenant(server.ctx, f"bench{number}") for number in range(customers)]
        histories = [told(tenant_id, number) for number, tenant_id in enumerate(ids)]
        halves = [[each[place] for place in half for each in histories] for half in _halves()]
        await deliver(server, halves[0])
        waiting = await unhandled(server)
        took, floor = await deliver(server, halves[1])
    began = time.monotonic()
    async with served(url, folder, workers=1, PORTAL_WORK_PROCESSES="1", **given) as server:
        while await unhandled(server):
            if time.monotonic() - began > PATIENCE:
                raise SystemExit("not handled in time")
            await asyncio.sleep(0.05)
        since_start = time.monotonic() - began
        async with server.ctx.read() as conn:
            ((handled, first, last),) = await conn.rows(
                select(func.count(), func.min(billing_facts.c.handled_at), func.max(billing_facts.c.handled_at)).where(
                    billing_facts.c.handled_at.is_not(None)
                )
            )
            active = select(func.count()).select_from(subscriptions).where(subscriptions.c.state == "active")
            subscribed = await conn.one(active, int)
    return Round(
        waiting,
        round(statistics.median(took), 2),
        p99(took),
        round(statistics.median(floor), 2),
        p99(floor),
        handled,
        round((last - first).total_seconds(), 2),
        round(since_start, 2),
        subscribed,
    )


def _halves() -> tuple[range, range]:
    return range(EVENTS_EACH), range(EVENTS_EACH, 2 * EVENTS_EACH)


async def unhandled(server: ServerProcess) -> int:
    """How many events wait."""
    async with server.ctx.read() as conn:
        waiting = select(func.count()).select_from(billing_facts).where(billing_facts.c.handled_at.is_(None))
        return await conn.one(waiting, int)


def main() -> int:
    """Answer the exit code: 1 where a goal is missed in the median."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--database", choices=(SQLITE, POSTGRES), default=POSTGRES)
    options.add_argument("--customers", type=int, default=100)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    forget_settings()
    rounds = []
    own = postgres_server(durable=True) if chosen.database == POSTGRES else contextlib.nullcontext("")
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as room, own as postgres:
        for number in range(chosen.rounds):
            folder = Path(room) / str(number)
            folder.mkdir()
            with address(chosen.database, postgres, folder) as url:
                asyncio.run(schema.upgrade(settings_for(url, folder)))
                rounds.append(asyncio.run(measure(url, folder, chosen.customers)))
            print(f"{number + 1}/{chosen.rounds}: {rounds[-1]}", file=sys.stderr)
    rows = [asdict(each) for each in rounds]
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    columns = list(medians)
    shown = [[row[name] for name in columns] for row in (*rows, medians)]
    print(json.dumps({"rounds": rows, "medians": medians}, indent=1) if chosen.json else table(columns, shown))
    return 0 if all(medians[name] < goal for name, goal in GOALS.items()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
