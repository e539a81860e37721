"""Limits over all workers: counted once in Redis, and without it nobody is refused for its absence."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from pydantic import SecretStr
from redis.asyncio import Redis
from structlog.testing import CapturingLogger
from support.builders import activated
from support.live import live_server
from support.redis import RedisServer, redis_server

from app.commands.checks import shared_limits
from app.errors import RateLimitedError, SettingsError
from app.limits import rate_limits
from app.limits.rate_limits import Allowance, RateLimits
from app.limits.rate_windows import HitResult, Pace, RateLimit, RedisWindows
from app.settings import Settings

MOST = 50


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server."""
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def shared(settings: Settings, redis: RedisServer) -> Settings:
    """Settings of workers that count together: fifty requests a minute, refused at once."""
    return settings.model_copy(
        update={
            "redis_url": SecretStr(redis.url),
            "device_requests_per_minute": MOST,
            "unknown_codes_per_minute": 3,
            "refusal_hold_seconds": 0.0,
        }
    )


async def within_one_window() -> None:
    """Begin where the running minute does not end soon, so that what is counted is counted in one window."""
    if (left := 60 - time.time() % 60) < 5:
        await asyncio.sleep(left)


async def counted(limits: RateLimits, device: str) -> bool:
    try:
        await limits.count_device_request(device)
    except RateLimitedError:
        return False
    return True


async def test_workers_allow_together_what_one_may(shared: Settings, tmp_path: Path) -> None:
    await within_one_window()
    workers = [RateLimits(shared) for _ in range(4)]
    device = f"device of {tmp_path}"

    allowed = await asyncio.gather(*(counted(workers[n % 4], device) for n in range(4 * MOST)))

    assert Counter(allowed) == {True: MOST, False: 3 * MOST}
    for worker in workers:
        await worker.close()


async def test_workers_keep_together_the_pace_of_one(redis: RedisServer) -> None:
    """Three at once, then one in a hundred seconds; one that would wait for longer than that is not counted."""
    await within_one_window()
    limit = RateLimit("some", 50, pace=Pace(apart=100, ahead=200, patience=100))
    workers = [RedisWindows(SecretStr(redis.url)) for _ in range(2)]

    taken = [await workers[n % 2].hit(limit, "a") for n in range(6)]

    assert [(left, round(wait, -1)) for left, wait in taken] == [(49, 0), (48, 0), (47, 0), (46, 100), *[(45, 200)] * 2]
    assert await workers[0].hit(limit, "b") == HitResult(49, 0)
    kept = workers[0]._pool
    async with Redis(connection_pool=kept) as stored:
        key = "{portal:some:a}:turn"
        assert 0 < await stored.ttl(key) <= 120
        # As after the clock of its host was set back by an hour.
        await stored.set(key, int(await stored.get(key)) + 3_600_000_000)
    assert await workers[1].hit(limit, "a") == HitResult(45, 0)
    for worker in workers:
        await worker.close()


async def test_guesses_are_counted_together_too(shared: Settings, tmp_path: Path) -> None:
    await within_one_window()
    first, second = RateLimits(shared), RateLimits(shared)
    address = f"address of {tmp_path}"
    for worker in (first, second, first):
        async with worker.guessing(address):
            await worker.count_guess(address)

    for worker in (first, second):
        with pytest.raises(RateLimitedError):
            async with worker.guessing(address):
                raise AssertionError
        await worker.close()


async def test_what_is_left_is_counted_over_all_workers(shared: Settings, tmp_path: Path) -> None:
    await within_one_window()
    first, second = RateLimits(shared), RateLimits(shared)
    device = f"another device of {tmp_path}"

    left = [await worker.count_device_request(device) for worker in (first, second, first)]

    assert [(allowance.limit, allowance.remaining) for allowance in left if allowance] == [
        (MOST, MOST - 1),
        (MOST, MOST - 2),
        (MOST, MOST - 3),
    ]
    await first.close()
    await second.close()


async def test_a_server_with_redis_limits_its_devices(shared: Settings) -> None:
    async with live_server(shared) as live:
        device = await activated(live)
        await within_one_window()
        with blockbuster_ctx() as blocking:
            for call in ("os.stat", "os.path.abspath", "io.TextIOWrapper.read"):
                blocking.functions[call].can_block_in("asyncpg/connect_utils.py", "_parse_connect_arguments")
            answers = await asyncio.gather(
                *(live.http.get("/licenses/policy", headers=device.headers) for _ in range(MOST + 10))
            )

    assert Counter(answer.status_code for answer in answers) == {200: MOST, 429: 10}


async def test_without_redis_devices_are_answered_and_it_is_said_once(
    shared: Settings, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "REDIS_REST_SECONDS", 0.0)
    limits = RateLimits(shared)
    assert isinstance(await limits.count_device_request(1), Allowance)
    redis.stop()

    said = CapturingLogger()
    monkeypatch.setattr(rate_limits, "log", said)

    allowed = [await counted(limits, "1") for _ in range(10)]

    assert all(allowed)
    assert [call.args for call in said.calls] == [("redis_does_not_answer",)]
    assert redis.url not in str(said.calls)
    redis.start()
    left = await limits.count_device_request("after its return")
    assert left is not None
    await limits.close()


async def test_who_waits_for_a_silent_redis_waits_shortly_and_only_once(
    shared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[asyncio.StreamWriter] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(writer)
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    limits = RateLimits(shared.model_copy(update={"redis_url": SecretStr(f"redis://:hidden@127.0.0.1:{port}")}))

    said = CapturingLogger()
    monkeypatch.setattr(rate_limits, "log", said)
    monkeypatch.setattr(rate_limits, "REDIS_REST_SECONDS", 600.0)

    allowed, waited_for = [await counted(limits, "1")], heard[:]
    allowed += [await counted(limits, "1") for _ in range(19)]

    assert (all(allowed), bool(waited_for), heard) == (True, True, waited_for)
    assert len(said.calls) == 1
    assert "hidden" not in str(said.calls)
    await limits.close()
    silent.close()
    await silent.wait_closed()


async def test_the_doctor_says_whether_redis_counts(shared: Settings) -> None:
    nobody = shared.model_copy(update={"redis_url": SecretStr("redis://:hidden@127.0.0.1:1")})
    none = shared.model_copy(update={"redis_url": SecretStr("")})

    found = [[finding async for finding in shared_limits(settings)] for settings in (shared, nobody, none)]

    assert [[(finding.check, finding.status) for finding in findings] for findings in found] == [
        [("redis", "ok")],
        [("redis", "warning")],
        [],
    ]
    assert "hidden" not in str(found)


def test_an_address_that_is_none_is_refused_at_the_start(settings: Settings) -> None:
    for url in ("http://127.0.0.1", "nonsense"):
        with pytest.raises(SettingsError, match="redis_url"):
            RateLimits(settings.model_copy(update={"redis_url": SecretStr(url)}))
