"""Devices that refresh while workers are killed, and two versions of the portal on one database."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from dataclasses import replace
from typing import Any

import psutil
from httpx2 import Response, TransportError

from bench import ROOT
from bench.attacks.target import Customer, Finding, Ground, Target, target, together

DEVICES, KILLS, PAUSE_SECONDS = 60, 3, 2.0
TURNS = 40


async def lost_answers(ground: Ground) -> list[Finding]:
    """Sixty devices refresh without end while workers are killed: who is refused afterwards is locked out."""
    async with target(ground, workers=2, PORTAL_RATE_LIMITS="off") as server:
        customer = await server.customer(uses=DEVICES)
        pairs = [
            answer.json()
            for answer in await together(range(DEVICES), lambda n: server.activate(customer, f"machine {n}"))
        ]
        end, lost = asyncio.Event(), Counter[str]()

        async def live(pair: dict[str, Any]) -> bool:
            body = {"tenant_slug": customer.slug, **{name: pair[name] for name in ("device_id", "refresh_token")}}
            while not end.is_set():
                try:
                    answer = await server.http.post("/authz/refresh", json=body)
                except TransportError:
                    lost["answers"] += 1
                    await asyncio.sleep(0.05)
                    continue
                if answer.status_code == 200:
                    body["refresh_token"] = answer.json()["refresh_token"]
                elif answer.status_code != 503:
                    return True
            return False

        living = [asyncio.create_task(live(pair)) for pair in pairs]
        for _ in range(KILLS):
            await asyncio.sleep(PAUSE_SECONDS)
            alive = [pid for pid in server.worker_pids() if psutil.pid_exists(pid)]
            os.kill(alive[0], signal.SIGKILL)
        await asyncio.sleep(PAUSE_SECONDS)
        end.set()
        locked_out = sum(await asyncio.gather(*living))
    told = f"{lost['answers']} answers were lost in {KILLS} kills"
    return [Finding("devices locked out by lost answers", DEVICES, locked_out, 0, told)]


async def two_versions(ground: Ground) -> list[Finding]:
    """The attacked version goes on while this one migrates its database and serves beside it; devices ask both."""
    limits = {"PORTAL_RATE_LIMITS": "off"}
    async with target(ground, **limits) as first:
        customer = await first.customer(uses=10 * TURNS)
        async with target(replace(ground, tree=ROOT), **limits) as second:
            found = []
            for name, one, other in (("the older", first, second), ("the newer", second, first)):
                statuses: Counter[int] = Counter()
                for turn in range(TURNS):
                    statuses.update(await turn_of(one, other, customer, f"{name} {turn}"))
                refused = sum(count for status, count in statuses.items() if status not in {200, 201})
                told = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
                faults = sum(count for status, count in statuses.items() if status >= 500)
                found.append(
                    Finding(f"two versions: activated at {name}", statuses.total(), refused - faults, faults, told)
                )
    return found


async def turn_of(one: Target, other: Target, customer: Customer, hardware: str) -> list[int]:
    """A device that is activated at one version and goes on at the other and back; the statuses of its answers."""
    activated = await one.activate(customer, hardware)
    answers: list[Response] = [activated]
    pair = activated.json()
    for server in (other, one):
        headers = {"authorization": f"Bearer {pair['access_token']}"}
        answers.append(await server.http.get("/licenses/policy", headers=headers))
        answers.append(
            await server.http.post("/licenses/heartbeat", headers=headers, json={"hw_fingerprint": hardware})
        )
        event = {"id": f"{hardware} {server.port}", "kind": "run", "quantity": 1}
        path = f"/usage/{customer.slug}/events"
        answers.append(await server.http.post(path, headers=headers, json={"events": [event]}))
        body = {"tenant_slug": customer.slug, **{name: pair[name] for name in ("device_id", "refresh_token")}}
        refreshed = await server.http.post("/authz/refresh", json=body)
        answers.append(refreshed)
        if refreshed.status_code == 200:
            pair = refreshed.json()
    answers.append(await other.activate(customer, hardware))
    return [answer.status_code for answer in answers]
