"""Two hundred racers change who holds a seat over two workers: seats equal devices that hold one, within the limit."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random

import httpx2
import pytest
from sqlalchemy import func, select, update
from support.builders import Licensed
from support.processes import FULL_PROOF, ServerProcess, served
from support.served_devices import activate, tenant_on

from app.access.permissions import Permission, Role
from app.context import Actor
from app.services.licensing.idle_seats import free_idle_seats
from app.services.operators.api_tokens import create_token
from sql.tables import devices, plans, subscriptions

pytestmark = pytest.mark.processes
SEED = os.environ.get("PORTAL_STORM_SEED", "2027")
RACERS = 200
HARDWARE = 40
LIMIT = 12
ROUNDS = 5 if FULL_PROOF else 1
VERBS = ("activate", "activate", "come back", "release", "revoke", "reinstate", "silence")


class Race:
    """A tenant with fewer seats than hardware, and whoever changes who holds them."""

    def __init__(self, server: ServerProcess, tenant: Licensed, operator: str) -> None:
        self._server, self._tenant = server, tenant
        self._operator = {"authorization": f"Bearer {operator}"}
        self._pairs: dict[str, dict[str, object]] = {}
        self.answers: Counter[tuple[str, int, object]] = Counter()

    async def run(self, verb: str, hardware: str) -> None:
        """One racer: what it does to a device, if there is one by now."""
        pair = self._pairs.get(hardware)
        if verb == "activate" or pair is None:
            status, body = await activate(self._server, self._tenant, hardware)
            self.answers["activate", status, body.get("errorCode")] += 1
            if status == 200:
                self._pairs[hardware] = body
        elif verb == "silence":
            await self._fall_silent(pair)
            freed = (await free_idle_seats(self._server.ctx))["freed_seats"]
            self.answers["silence", 200, "freed" if freed else None] += 1
        else:
            await self._ask(verb, hardware, pair)

    async def _ask(self, verb: str, hardware: str, pair: dict[str, object]) -> None:
        http, path = self._server.http, f"/admin/api/devices/{pair['device_id']}"
        if verb == "come back":
            body = {
                "tenant_slug": self._tenant.slug,
                "device_id": pair["device_id"],
                "refresh_token": pair["refresh_token"],
            }
            answer: httpx2.Response = await http.post("/authz/refresh", json=body)
            if answer.status_code == 200:
                self._pairs[hardware] = answer.json()
        elif verb == "revoke":
            answer = await http.delete(path, headers=self._operator)
        else:
            answer = await http.post(f"{path}/{verb}", headers=self._operator)
        self.answers[verb, answer.status_code, answer.json().get("errorCode")] += 1

    async def _fall_silent(self, pair: dict[str, object]) -> None:
        long_ago = self._server.ctx.now() - timedelta(days=30)
        own = (devices.c.tenant_id == self._tenant.tenant_id, devices.c.id == pair["device_id"])
        async with self._server.ctx.write_autocommit() as conn:
            await conn.affected(update(devices).where(*own).values(last_seen=long_ago))

    async def counted(self) -> tuple[int, int]:
        """The subscription's counter, and the devices that hold a seat, of one moment."""
        held = select(func.count()).where(devices.c.tenant_id == self._tenant.tenant_id, devices.c.seat_held)
        both = select(subscriptions.c.seats_used, held.scalar_subquery()).where(
            subscriptions.c.tenant_id == self._tenant.tenant_id
        )
        async with self._server.ctx.read() as conn:
            seats, holding = (await conn.rows(both))[0]
        return seats, holding

    async def watch(self, end: asyncio.Event) -> None:
        """While they race, no moment shows more seats than the limit, or another number of devices."""
        while not end.is_set():
            seats, holding = await self.counted()
            assert seats == holding <= LIMIT
            await asyncio.sleep(0.02)


@pytest.mark.alone
async def test_seats_equal_the_devices_that_hold_one_whoever_races(database: str, tmp_path: Path) -> None:
    sys.stdout.write(f"seed {SEED}\n")
    draw = Random(SEED)
    # On a slow machine so many racers wait for the tenant's row longer than a server would let them.
    async with served(database, tmp_path, workers=2, PORTAL_LOCK_TIMEOUT_SECONDS="25") as server:
        owner = server.ctx._replace(actor=Actor("operator", "owner", permissions=frozenset(Permission)))
        operator = await create_token(owner, name="racers", role=Role.OWNER)
        for _ in range(ROUNDS):
            tenant = await tenant_on(server, max_uses=HARDWARE, max_devices=LIMIT)
            async with server.ctx.write_autocommit() as conn:
                await conn.affected(update(plans).where(plans.c.name == tenant.plan).values(device_idle_days=7))
            race = Race(server, tenant, operator.token)
            await asyncio.gather(*(race.run("activate", f"hw-{number}") for number in range(LIMIT)))
            end = asyncio.Event()
            watching = asyncio.create_task(race.watch(end))
            racers = [(draw.choice(VERBS), f"hw-{draw.randrange(HARDWARE)}") for _ in range(RACERS)]
            await asyncio.gather(*(race.run(verb, hardware) for verb, hardware in racers))
            # Whoever raced against its own refresh may have been too late: everybody asks once more.
            await asyncio.gather(*(race.run("come back", f"hw-{number}") for number in range(HARDWARE)))
            end.set()
            await watching

            seats, holding = await race.counted()
            assert seats == holding <= LIMIT
            assert {status for _, status, _ in race.answers} <= {200, 400, 401, 403}, race.answers
            # Each verb has had its effect, or this has shown nothing.
            assert {verb for verb, status, _ in race.answers if status == 200} == set(VERBS), race.answers
        assert not server.events("request_failed")
