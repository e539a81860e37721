"""Races between worker processes: whatever arrives at once, the counts are exact."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select
from support.builders import Licensed
from support.processes import FULL_PROOF, ServerProcess, served
from support.served_devices import activate, tenant_on

from sql.tables import activation_codes, devices, platform_events, refresh_families, subscriptions

pytestmark = pytest.mark.processes
AT_ONCE = 200 if FULL_PROOF else 80
WORKERS = 3
ROUNDS = 5 if FULL_PROOF else 1


async def stored(server: ServerProcess, tenant: Licensed) -> dict[str, int]:
    """What the database holds about a tenant's licensing."""
    questions = {
        "uses": select(activation_codes.c.use_count).where(activation_codes.c.tenant_id == tenant.tenant_id),
        "devices": select(func.count()).where(devices.c.tenant_id == tenant.tenant_id),
        "families": select(func.count()).where(refresh_families.c.tenant_id == tenant.tenant_id),
        "seats": select(subscriptions.c.seats_used).where(subscriptions.c.tenant_id == tenant.tenant_id),
        "enrolled": select(func.count()).where(
            platform_events.c.tenant_id == tenant.tenant_id, platform_events.c.event_type == "device_enrolled"
        ),
    }
    async with server.ctx.read() as conn:
        return {name: (await conn.rows(question))[0][0] for name, question in questions.items()}


@pytest.mark.alone
async def test_races_between_worker_processes_never_pass_a_limit(database: str, tmp_path: Path) -> None:
    async with served(database, tmp_path, workers=WORKERS) as server:
        for _ in range(ROUNDS):
            await many_activations_of_a_code_with_three_uses(server)
            await many_devices_for_five_seats(server)
            await the_same_hardware_many_times(server)
            await fifty_refreshes_of_one_token(server)
            await a_lost_answer(server)
        assert not server.events("request_failed")


async def many_activations_of_a_code_with_three_uses(server: ServerProcess) -> None:
    tenant = await tenant_on(server, max_uses=3)

    answers = await asyncio.gather(*(activate(server, tenant, f"hw-{number}") for number in range(AT_ONCE)))

    assert Counter(status for status, _ in answers) == {200: 3, 400: AT_ONCE - 3}
    assert {body["errorCode"] for status, body in answers if status == 400} == {"activation_code_used_up"}
    assert await stored(server, tenant) == {"uses": 3, "devices": 3, "families": 3, "seats": 3, "enrolled": 3}


async def many_devices_for_five_seats(server: ServerProcess) -> None:
    tenant = await tenant_on(server, max_uses=AT_ONCE, max_devices=5)

    answers = await asyncio.gather(*(activate(server, tenant, f"hw-{number}") for number in range(AT_ONCE)))

    assert Counter(status for status, _ in answers) == {200: 5, 403: AT_ONCE - 5}
    assert {body["errorCode"] for status, body in answers if status == 403} == {"device_limit_reached"}
    assert await stored(server, tenant) == {"uses": 5, "devices": 5, "families": 5, "seats": 5, "enrolled": 5}


async def the_same_hardware_many_times(server: ServerProcess) -> None:
    tenant = await tenant_on(server, max_uses=AT_ONCE, max_devices=1)

    answers = await asyncio.gather(*(activate(server, tenant, "the-one") for _ in range(AT_ONCE)))

    assert Counter(status for status, _ in answers) == {200: AT_ONCE}
    assert len({body["device_id"] for _, body in answers}) == 1
    assert await stored(server, tenant) == {"uses": 1, "devices": 1, "families": AT_ONCE, "seats": 1, "enrolled": 1}


async def fifty_refreshes_of_one_token(server: ServerProcess) -> None:
    tenant = await tenant_on(server)
    _, pair = await activate(server, tenant, "hw")
    shown = {"tenant_slug": tenant.slug, "device_id": pair["device_id"], "refresh_token": pair["refresh_token"]}

    answers = await asyncio.gather(*(server.http.post("/authz/refresh", json=shown) for _ in range(50)))

    assert Counter(answer.status_code for answer in answers) == {200: 50}
    (renewed,) = {answer.json()["refresh_token"] for answer in answers}
    after = await server.http.post("/authz/refresh", json={**shown, "refresh_token": renewed})
    assert after.status_code == 200
    thief = await server.http.post("/authz/refresh", json=shown)
    assert (thief.status_code, thief.json()["errorCode"]) == (401, "refresh_token_reused")


async def a_lost_answer(server: ServerProcess) -> None:
    tenant = await tenant_on(server, max_uses=1, max_devices=1)
    status, lost = await activate(server, tenant, "hw")

    again, pair = await activate(server, tenant, "hw")

    assert (status, again, pair["device_id"]) == (200, 200, lost["device_id"])
    assert await stored(server, tenant) == {"uses": 1, "devices": 1, "families": 2, "seats": 1, "enrolled": 1}
