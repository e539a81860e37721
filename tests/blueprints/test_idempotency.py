"""Repeated requests: with one key a thing is created once, and whoever asks again gets the first answer."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import select
from support.builders import Licensed, activate, licensed, subscribe
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.rows import row_counts, rows
from support.statements import counted_statements

from app.jobs.schedules import schedules
from app.services.idempotency import KeptAnswer, Repeatable, hold_key, purge_idempotent_answers
from app.services.licensing import activation
from app.settings import Settings
from sql.tables import activation_codes, devices, idempotent_answers, metadata, refresh_families


def new_key() -> str:
    return str(uuid.uuid4())


async def send(live: LiveServer, tenant: Licensed, key: str | None, **changes: Any) -> Response:
    """An activation with the tenant's first code and this key."""
    body = {"tenant_slug": tenant.slug, "activation_code": tenant.codes[0], "hw_fingerprint": "hardware-1", **changes}
    return await live.http.post("/authz/activate", json=body, headers={} if key is None else {"idempotency-key": key})


async def created(live: LiveServer) -> tuple[int, int, list[int]]:
    """How many devices and token families there are, and how often each code was used."""
    counts = await row_counts(live)
    uses = await rows(live, select(activation_codes.c.use_count))
    return counts[devices.name], counts[refresh_families.name], [use_count for (use_count,) in uses]


def told(answer: Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("errorCode")


async def test_the_same_request_again_gets_the_first_answer_and_creates_nothing(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=10)
    key = new_key()

    first, again = await send(sanic_client, tenant, key), await send(sanic_client, tenant, key)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await created(sanic_client) == (1, 1, [1])


async def test_without_a_key_nothing_is_kept(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=10)

    first, again = await send(sanic_client, tenant, None), await send(sanic_client, tenant, None)

    assert first.json()["refresh_token"] != again.json()["refresh_token"]
    assert (await row_counts(sanic_client))["idempotent_answers"] == 0


async def test_a_hundred_requests_at_once_with_one_key_create_one_thing(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=100)
    key = new_key()

    answers = await asyncio.gather(*(send(sanic_client, tenant, key) for _ in range(100)))

    assert {told(answer) for answer in answers} <= {(200, None), (409, "idempotency_running")}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert [answer.headers.get("idempotent-replayed") for answer in answers if answer.status_code == 200].count(
        None
    ) == 1
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 409} <= {"1"}
    assert await created(sanic_client) == (1, 1, [1])
    assert told(await send(sanic_client, tenant, key)) == (200, None)


async def test_another_request_with_a_used_key_is_refused(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=10)
    key = new_key()
    await send(sanic_client, tenant, key)

    answers = [
        await send(sanic_client, tenant, key, hw_fingerprint="hardware-2"),
        await send(sanic_client, tenant, key, activation_code="ANOTHER"),
    ]

    assert [told(answer) for answer in answers] == [(409, "idempotency_conflict")] * 2
    assert not [answer for answer in answers if "access_token" in answer.text]
    assert await created(sanic_client) == (1, 1, [1])


async def test_a_refusal_is_not_kept_and_judged_anew(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, state=None)
    key = new_key()

    refused = [await send(sanic_client, tenant, key, **more) for more in ({}, {}, {"hw_fingerprint": "hardware-2"})]
    kept = (await row_counts(sanic_client))["idempotent_answers"]
    await subscribe(sanic_client, tenant, "active")
    answered = await send(sanic_client, tenant, key)

    assert [told(answer) for answer in refused] == [(403, "subscription_missing")] * 3
    assert kept == 0
    assert told(answered) == (200, None)


async def test_a_request_that_cannot_be_read_does_not_use_its_key(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    key = new_key()

    unread = await send(sanic_client, tenant, key, hw_fingerprint=7)

    assert told(unread) == (422, "validation_error")
    assert (await send(sanic_client, tenant, key)).status_code == 200


WRONG = ["", "a b", "x" * 256, "ü", "tab\tbed"]


async def test_a_key_that_is_none_is_refused_by_name(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    body = {"tenant_slug": tenant.slug, "activation_code": tenant.codes[0], "hw_fingerprint": "h"}

    answers = [
        await sanic_client.http.post("/authz/activate", json=body, headers={"idempotency-key": key.encode()})
        for key in WRONG
    ]

    assert [told(answer) for answer in answers] == [(422, "validation_error")] * len(WRONG)
    message = "must be 1 to 255 visible ASCII characters"
    detail = {"type": "idempotency_key", "loc": ["header", "Idempotency-Key"], "msg": message}
    assert [answer.json()["detail"] for answer in answers] == [[detail]] * len(WRONG)
    assert (await send(sanic_client, tenant, "x" * 255)).status_code == 200


async def test_a_fault_of_ours_gives_the_key_back(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await licensed(sanic_client)
    key = new_key()

    async def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(activation, "activate", fail)
    failed = await send(sanic_client, tenant, key)
    monkeypatch.undo()

    assert told(failed) == (500, "internal_server_error")
    again = await send(sanic_client, tenant, key)
    assert (again.status_code, "idempotent-replayed" in again.headers) == (200, False)


async def test_a_limit_gives_the_key_back(settings: Settings, clock: MovableClock) -> None:
    strict = {"rate_limits": "on", "unknown_codes_per_minute": 1, "refusal_hold_seconds": 0.0}
    async with live_server(settings.model_copy(update=strict), clock) as live:
        tenant = await licensed(live)
        await activate(live, tenant, code="NOBODYS-CODE")
        limited = [await send(live, tenant, "one-key", activation_code="OTHER") for _ in range(2)]

        assert [told(answer) for answer in limited] == [(429, "rate_limited")] * 2
        assert (await row_counts(live))["idempotent_answers"] == 0


async def test_while_the_first_request_runs_the_second_is_told_to_wait(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await licensed(sanic_client)
    key = new_key()
    entered, leave = asyncio.Event(), asyncio.Event()
    original = activation.activate

    async def slow(*arguments: Any) -> Any:
        entered.set()
        await leave.wait()
        return await original(*arguments)

    monkeypatch.setattr(activation, "activate", slow)
    first = asyncio.create_task(send(sanic_client, tenant, key))
    await entered.wait()

    second = await send(sanic_client, tenant, key)
    other = await send(sanic_client, tenant, key, hw_fingerprint="hardware-2")
    leave.set()

    assert (told(second), second.headers["retry-after"]) == ((409, "idempotency_running"), "1")
    assert told(other) == (409, "idempotency_conflict")
    answer = await first
    assert (await send(sanic_client, tenant, key)).content == answer.content


async def test_what_was_created_is_found_by_who_hung_up_before_the_answer(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await licensed(sanic_client, max_uses=10)
    key = new_key()
    entered, leave, left = asyncio.Event(), asyncio.Event(), asyncio.Event()
    original = activation.activate

    async def slow(*arguments: Any) -> Any:
        entered.set()
        await leave.wait()
        try:
            return await original(*arguments)
        finally:
            left.set()

    monkeypatch.setattr(activation, "activate", slow)
    first = asyncio.create_task(send(sanic_client, tenant, key))
    await entered.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.sleep(0.1)
    leave.set()
    await left.wait()
    for _ in range(100):
        if (again := await send(sanic_client, tenant, key)).status_code != 409:
            break
        await asyncio.sleep(0.02)

    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert await created(sanic_client) == (1, 1, [1])


async def test_a_server_that_stops_ends_what_it_has_begun_under_a_key(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await licensed(sanic_client, max_uses=10)
    entered, leave = asyncio.Event(), asyncio.Event()
    original = activation.activate

    async def slow(*arguments: Any) -> Any:
        entered.set()
        await leave.wait()
        return await original(*arguments)

    monkeypatch.setattr(activation, "activate", slow)
    first = asyncio.create_task(send(sanic_client, tenant, new_key()))
    await entered.wait()
    stopping = asyncio.create_task(sanic_client.runtime.drain())
    await asyncio.sleep(0.05)
    was_waiting = not stopping.done()
    leave.set()
    await stopping

    assert was_waiting
    assert (await first).status_code in {200, 503}


async def test_an_answer_is_forgotten_after_its_hours(sanic_client: LiveServer, clock: MovableClock) -> None:
    tenant = await licensed(sanic_client, max_uses=10)
    key = new_key()
    first = await send(sanic_client, tenant, key)

    clock.move(hours=23, minutes=59)
    within = await send(sanic_client, tenant, key)
    clock.move(minutes=2)
    later = await send(sanic_client, tenant, key)

    assert within.content == first.content
    assert (later.status_code, "idempotent-replayed" in later.headers) == (200, False)


async def test_the_purge_removes_what_has_passed_its_age_and_nothing_else(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    tenant = await licensed(sanic_client, max_uses=10)
    await send(sanic_client, tenant, new_key())
    clock.move(hours=25)
    kept = new_key()
    await send(sanic_client, tenant, kept)

    assert await purge_idempotent_answers(sanic_client.ctx) == {"idempotent_answers": 1}
    assert (await send(sanic_client, tenant, kept)).headers["idempotent-replayed"] == "true"


def test_the_purge_runs_by_itself(settings: Settings) -> None:
    planned = {schedule.name: schedule for schedule in schedules(settings)}

    assert planned["idempotency-purge"].cron == settings.session_purge_cron


async def test_callers_who_choose_the_same_key_have_nothing_to_do_with_each_other(sanic_client: LiveServer) -> None:
    key = new_key()
    callers = [
        sanic_client.ctx._replace(actor=actor, address=address)
        for actor, address in (
            (sanic_client.ctx.actor._replace(type="tenant", tenant_id=1), None),
            (sanic_client.ctx.actor._replace(type="tenant", tenant_id=2), None),
            (sanic_client.ctx.actor._replace(type="device", tenant_id=1, device_id=1), None),
            (sanic_client.ctx.actor._replace(id=1, session_id=5), None),
            (sanic_client.ctx.actor._replace(type="program", id=1), None),
            (sanic_client.ctx.actor, "192.0.2.1"),
            (sanic_client.ctx.actor, "192.0.2.2"),
        )
    ]

    claims = [await hold_key(caller, Repeatable("op", key, "POST", "/x", b"{}")) for caller in callers]
    other = await hold_key(callers[0], Repeatable("another op", key, "POST", "/x", b"{}"))

    assert not [held for held in (*claims, other) if isinstance(held, KeptAnswer)]


async def test_a_key_costs_three_statements_and_a_replay_two(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=10)
    # A device that is known costs other statements than a new one.
    await send(sanic_client, tenant, None)
    with counted_statements(sanic_client.runtime.db) as plain:
        await send(sanic_client, tenant, None)
    key = new_key()
    with counted_statements(sanic_client.runtime.db) as first:
        await send(sanic_client, tenant, key)
    with counted_statements(sanic_client.runtime.db) as again:
        await send(sanic_client, tenant, key)

    assert (len(first) - len(plain), len(again)) == (3, 2)


async def test_no_table_shows_what_was_answered_or_the_key(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    key = new_key()
    answer = (await send(sanic_client, tenant, key)).json()

    stored = b""
    for table in metadata.tables.values():
        for row in await rows(sanic_client, table.select()):
            stored += b"\n".join(part if isinstance(part, bytes) else str(part).encode() for part in row)

    assert len(await rows(sanic_client, idempotent_answers.select())) == 1
    for secret in (key, answer["access_token"], answer["refresh_token"], tenant.codes[0]):
        assert secret.encode() not in stored
