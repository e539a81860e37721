"""One seat is one machine: activating again ends the tokens of before, and who goes on with those is a clone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import select, update
from support.admin import Admin, as_operator, as_tenant
from support.builders import Activated, activate, activated, licensed, refresh
from support.clocks import MovableClock
from support.graphql import data
from support.licensing import seats, uses
from support.live import LiveServer
from support.rows import change, rows, told
from support.statements import counted_statements

from app.services.licensing.clones import count_clone
from app.services.licensing.codes import revoke_code
from sql.statements import licensing
from sql.tables import devices, plans, refresh_families


def said(answer: Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("errorCode")


def token_of(answer: Response) -> str:
    token: str = answer.json()["refresh_token"]
    return token


async def clones(live: LiveServer, device: Activated) -> int:
    ((count,),) = await rows(live, select(devices.c.clone_count).where(devices.c.id == device.device_id))
    return int(count)


async def told_of_clones(live: LiveServer, device: Activated) -> list[Any]:
    events = await told(live, device.tenant.tenant_id)
    return [event for event in events if event.event_type == "device_cloned"]


async def test_of_fifty_copies_one_goes_on(sanic_client: LiveServer, clock: MovableClock) -> None:
    tenant = await licensed(sanic_client, max_devices=1)
    copies = []
    for _ in range(50):
        copies.append(await activated(sanic_client, tenant))
        clock.move(seconds=1)

    clock.move(minutes=10)
    answers = [said(await refresh(sanic_client, copy)) for copy in copies]
    again = [said(await refresh(sanic_client, copy)) for copy in copies[:3]]

    assert answers == [(401, "refresh_token_superseded")] * 49 + [(200, None)]
    assert again == answers[:3]
    # Each copy counts once, however often it comes back.
    assert await clones(sanic_client, copies[0]) == 49
    events = await told_of_clones(sanic_client, copies[0])
    assert len(events) == 49
    assert {(event.severity, event.actor_type, event.device_id) for event in events} == {
        ("major", "device", copies[0].device_id)
    }
    living = select(refresh_families.c.id).where(refresh_families.c.revoked_at.is_(None))
    assert len(await rows(sanic_client, living)) <= 2
    assert (await uses(sanic_client, tenant), await seats(sanic_client, tenant)) == ([1], 1)


async def test_the_tokens_of_before_overlap_until_the_new_ones_are_used(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    oldest = await activated(sanic_client)
    old = await activated(sanic_client, oldest.tenant)
    new = await activated(sanic_client, oldest.tenant)

    at_once = [await refresh(sanic_client, device) for device in (oldest, old)]
    second = await refresh(sanic_client, old, refresh_token=token_of(at_once[1]))
    first_use = await refresh(sanic_client, new)
    after = await refresh(sanic_client, old, refresh_token=token_of(second))
    clock.move(seconds=5)
    goes_on = await refresh(sanic_client, new, refresh_token=token_of(first_use))

    assert [said(answer) for answer in at_once] == [(401, "refresh_token_superseded"), (200, None)]
    assert (second.status_code, said(after)) == (200, (401, "refresh_token_superseded"))
    assert goes_on.status_code == 200
    assert await clones(sanic_client, new) == 2


@pytest.mark.parametrize(
    ("seconds", "told_then"), [(58, (200, None)), (60, (401, "refresh_token_superseded"))], ids=["within", "after"]
)
async def test_the_overlap_is_no_longer_than_the_grace(
    sanic_client: LiveServer, clock: MovableClock, seconds: int, told_then: tuple[int, str | None]
) -> None:
    old = await activated(sanic_client)
    await activated(sanic_client, old.tenant)
    clock.move(seconds=seconds)

    assert said(await refresh(sanic_client, old)) == told_then
    # A newer activation ends what overlaps at once.
    await activated(sanic_client, old.tenant)
    assert said(await refresh(sanic_client, old))[0] == 401


async def test_who_comes_back_at_once_many_times_is_one_clone(sanic_client: LiveServer, clock: MovableClock) -> None:
    old = await activated(sanic_client)
    await activated(sanic_client, old.tenant)
    clock.move(minutes=2)

    answers = await asyncio.gather(*(refresh(sanic_client, old) for _ in range(12)))

    assert {said(answer) for answer in answers} == {(401, "refresh_token_superseded")}
    assert (await clones(sanic_client, old), len(await told_of_clones(sanic_client, old))) == (1, 1)
    with counted_statements(sanic_client.runtime.db) as statements:
        await refresh(sanic_client, old)
    assert len(statements) == 1


async def test_of_two_who_count_one_clone_the_second_changes_nothing(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    old = await activated(sanic_client)
    await activated(sanic_client, old.tenant)
    clock.move(minutes=2)
    family_id = old.refresh_token.partition(".")[0]
    of_family = {"of_tenant_id": old.tenant.tenant_id, "family_id": family_id}

    async with sanic_client.ctx.write() as conn:
        await conn.affected(licensing.count_clone, **of_family, device_id=old.device_id)
        ctx = sanic_client.ctx.as_device(old.tenant.tenant_id, old.device_id)
        second = asyncio.create_task(count_clone(ctx, family_id))
        # Until it waits for the first one's row.
        await asyncio.sleep(0.3)
        await conn.affected(licensing.family_came_back, **of_family, now=sanic_client.ctx.now())
    await second

    assert (await clones(sanic_client, old), await told_of_clones(sanic_client, old)) == (1, [])


async def test_a_token_that_nobody_was_given_counts_no_clone(sanic_client: LiveServer, clock: MovableClock) -> None:
    old = await activated(sanic_client)
    await activated(sanic_client, old.tenant)
    clock.move(minutes=2)
    family, secret, mark = old.refresh_token.split(".")

    forged = await refresh(sanic_client, old, refresh_token=f"{family}.{secret[::-1]}.{mark}")
    released = await sanic_client.http.post(
        f"/admin/api/devices/{old.device_id}/release", headers=await as_operator(sanic_client)
    )
    late = await refresh(sanic_client, old)

    assert (said(forged), released.status_code) == ((401, "refresh_token_invalid"), 200)
    assert said(late) == (403, "device_released")
    assert await clones(sanic_client, old) == 0


async def test_clones_are_shown_wherever_the_device_is(sanic_client: LiveServer, clock: MovableClock) -> None:
    live, old = sanic_client, await activated(sanic_client)
    await activated(live, old.tenant)
    clock.move(minutes=2)
    await refresh(live, old)
    operator, session = await as_operator(live), await as_tenant(live, old.tenant.tenant_id)

    (listed,) = (await Admin(live, operator).ask("GET", f"/devices?tenant_slug={old.tenant.slug}"))["devices"]
    (own,) = (await live.http.get("/api/tenant/devices", headers=session)).json()["devices"]
    seen = await data(live, operator, f'{{ device(id: "{old.device_id}") {{ cloneCount }} }}')

    assert (listed["cloneCount"], own["cloneCount"], seen) == (1, 1, {"device": {"cloneCount": 1}})


async def test_tokens_of_before_this_rule_end_with_the_next_activation(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    copies = []
    for _ in range(3):
        copies.append(await activated(sanic_client, copies[0].tenant if copies else None))
        clock.move(seconds=1)
    await change(sanic_client, update(refresh_families).values(superseded_at=None, revoked_at=None))
    clock.move(days=1)

    lively = [said(await refresh(sanic_client, copy))[0] for copy in copies]
    await activated(sanic_client, copies[0].tenant)
    superseded = select(refresh_families.c.revoked_at.is_(None)).order_by(refresh_families.c.created_at)

    assert lively == [200] * 3
    assert [row[0] for row in await rows(sanic_client, superseded)] == [False, False, True, True]


async def test_a_device_moves_as_often_a_day_as_its_plan_says(sanic_client: LiveServer, clock: MovableClock) -> None:
    tenant = await licensed(sanic_client, codes=2, max_uses=5)
    await change(sanic_client, update(plans).where(plans.c.name == tenant.plan).values(device_moves_per_day=2))
    clock.move(seconds=86_400 - clock.now().timestamp() % 86_400 + 3_600)
    first = await activated(sanic_client, tenant)
    moves = [await activate(sanic_client, tenant) for _ in range(2)]

    refused = await activate(sanic_client, tenant)
    by_another_code = await activate(sanic_client, tenant, code=tenant.codes[1])
    neighbour = await activate(sanic_client, tenant, "hardware-2")
    goes_on = await refresh(sanic_client, first, refresh_token=token_of(moves[-1]))
    wait = int(refused.headers["retry-after"])
    clock.move(seconds=wait - 2)
    still = await activate(sanic_client, tenant)
    clock.move(seconds=2)
    tomorrow = [await activate(sanic_client, tenant) for _ in range(3)]

    assert [answer.status_code for answer in moves] == [200, 200]
    assert said(refused) == said(by_another_code) == said(still) == (429, "device_moves_exceeded")
    assert 22 * 3_600 < wait <= 23 * 3_600
    assert "2 times today" in refused.json()["detail"]
    assert "change to a plan that allows more" in refused.json()["remedy"]
    assert (neighbour.status_code, goes_on.status_code) == (200, 200)
    assert [answer.status_code for answer in tomorrow] == [200, 200, 429]
    # What was refused has taken no use.
    assert await uses(sanic_client, tenant) == [2, 0]


async def test_moves_at_once_are_no_more_than_the_plan_says(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    await change(sanic_client, update(plans).where(plans.c.name == tenant.plan).values(device_moves_per_day=3))
    await activated(sanic_client, tenant)

    answers = await asyncio.gather(*(activate(sanic_client, tenant) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 7
    ((moves,),) = await rows(sanic_client, select(devices.c.moves))
    assert moves == 3


async def test_a_device_whose_code_was_revoked_goes_on(sanic_client: LiveServer, clock: MovableClock) -> None:
    tenant = await licensed(sanic_client, codes=2)
    device = await activated(sanic_client, tenant)
    await revoke_code(sanic_client.ctx, tenant.slug, code=tenant.codes[0])

    lost, again = await refresh(sanic_client, device), await refresh(sanic_client, device)
    policy = await sanic_client.http.get("/licenses/policy", headers=device.headers)
    beat = await sanic_client.http.post(
        "/licenses/heartbeat", headers=device.headers, json={"hw_fingerprint": device.hw_fingerprint}
    )
    clock.move(days=10)
    later = await refresh(sanic_client, device, refresh_token=token_of(again))
    by_its_code = await activate(sanic_client, tenant)
    by_another = await activate(sanic_client, tenant, code=tenant.codes[1])

    assert (lost.status_code, token_of(lost)) == (200, token_of(again))
    assert [answer.status_code for answer in (policy, beat, later)] == [200] * 3
    assert said(by_its_code) == (400, "activation_code_revoked")
    assert (by_another.status_code, by_another.json()["device_id"]) == (200, device.device_id)
    assert await seats(sanic_client, tenant) == 1
