"""How long a repeated request's key is held: as long as its work takes, and not for ever when its holder is gone."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import select
from support.builders import Licensed, licensed
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.rows import rows

from app.database.key_holds import KeyHold
from app.errors import DatabaseUnavailableError, IdempotencyRunningError
from app.services.idempotency import KeptAnswer, Repeatable, hold_key, hold_seconds, run_held, settle
from app.services.licensing import activation
from app.settings import Settings
from sql.tables import activation_codes


def new_key() -> str:
    return str(uuid.uuid4())


def told(answer: Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("errorCode")


async def send(live: LiveServer, tenant: Licensed, key: str) -> Response:
    """An activation with the tenant's first code and this key."""
    body = {"tenant_slug": tenant.slug, "activation_code": tenant.codes[0], "hw_fingerprint": "hardware-1"}
    return await live.http.post("/authz/activate", json=body, headers={"idempotency-key": key})


async def test_a_claim_that_nobody_answers_is_taken_over_and_its_old_holder_changes_nothing(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    request = Repeatable("op", new_key(), "POST", "/somewhere", b"{}")
    crashed = await hold_key(sanic_client.ctx, request)
    assert not isinstance(crashed, KeptAnswer)

    clock.move(seconds=hold_seconds(sanic_client.runtime.settings) + 1)
    heir = await hold_key(sanic_client.ctx, request)
    assert not isinstance(heir, KeptAnswer)
    await settle(sanic_client.ctx, crashed, KeptAnswer(200, "text/plain", {}, b"late"))
    await settle(sanic_client.ctx, crashed, KeptAnswer(500, "text/plain", {}, b"late"))
    await settle(sanic_client.ctx, heir, KeptAnswer(201, "text/plain", {"location": "/x"}, b"in time"))

    assert await hold_key(sanic_client.ctx, request) == KeptAnswer(201, "text/plain", {"location": "/x"}, b"in time")


async def test_work_that_takes_longer_than_any_hold_runs_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried = {"response_timeout_seconds": 1, "pool_timeout_seconds": 1.0, "statement_timeout_seconds": 1.0}
    runs, leave = 0, asyncio.Event()
    original = activation.activate

    async def slow(*arguments: Any) -> Any:
        nonlocal runs
        runs += 1
        await leave.wait()
        return await original(*arguments)

    async with live_server(settings.model_copy(update=hurried)) as live:
        tenant = await licensed(live)
        monkeypatch.setattr(activation, "activate", slow)
        assert (await send(live, tenant, "one-key")).status_code == 503
        await asyncio.sleep(hold_seconds(live.runtime.settings))
        assert told(await send(live, tenant, "one-key")) == (409, "idempotency_running")
        leave.set()
        for _ in range(100):
            if (again := await send(live, tenant, "one-key")).status_code != 409:
                break
            await asyncio.sleep(0.05)

        assert (again.status_code, again.headers["idempotent-replayed"], runs) == (200, "true", 1)
        assert [use_count for (use_count,) in await rows(live, select(activation_codes.c.use_count))] == [1]


@pytest.mark.parametrize("how", ["taken over", "not renewed"])
async def test_work_that_has_lost_its_claim_is_ended(
    settings: Settings, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with live_server(settings.model_copy(update={"response_timeout_seconds": 1}), clock) as live:
        request = Repeatable("op", new_key(), "POST", "/somewhere", b"{}")
        held = await hold_key(live.ctx, request)
        assert isinstance(held, KeyHold)
        clock.move(seconds=hold_seconds(live.runtime.settings) + 1)
        if how == "taken over":
            assert isinstance(await hold_key(live.ctx, request), KeyHold)
        else:
            monkeypatch.setattr(live.runtime.db, "write_autocommit", _away)
        begun, ended = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                ended.set()

        with pytest.raises(IdempotencyRunningError):
            await run_held(live.ctx, held, work())
        assert (begun.is_set(), ended.is_set()) == (True, True)


def _away() -> None:
    raise DatabaseUnavailableError
