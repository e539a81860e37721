"""Exact limits: a window begins with its first hit, takes so many, and tells how long it lasts."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from support.clocks import MovableClock
from support.live import LiveServer
from support.rows import change

from app.limits.addresses import network_of, site_of
from app.limits.exact_limits import ExactLimit, count_hit, forget_hits, give_hit_back
from sql.statements import limits

THREE_A_MINUTE = ExactLimit("tests", 3, 60)


async def hit(live: LiveServer, whom: str = "somebody") -> int | None:
    async with live.ctx.write() as conn:
        return await count_hit(conn, live.ctx, THREE_A_MINUTE, whom)


async def test_a_window_takes_its_hits_and_says_how_long_the_rest_must_wait(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    assert [await hit(sanic_client) for _ in range(3)] == [None] * 3
    clock.move(seconds=20)
    assert 38 <= (await hit(sanic_client) or 0) <= 40
    assert await hit(sanic_client, "somebody else") is None
    clock.move(seconds=41)
    assert [await hit(sanic_client) is None for _ in range(4)] == [True, True, True, False]


async def test_parallel_hits_never_pass_the_limit(sanic_client: LiveServer) -> None:
    answers = await asyncio.gather(*(hit(sanic_client) for _ in range(30)))

    assert answers.count(None) == 3


async def test_what_was_counted_goes_when_its_transaction_fails(sanic_client: LiveServer) -> None:
    async def fail() -> None:
        async with sanic_client.ctx.write() as conn:
            assert await count_hit(conn, sanic_client.ctx, THREE_A_MINUTE, "somebody") is None
            raise KeyError

    for _ in range(5):
        with pytest.raises(KeyError):
            await fail()

    assert await hit(sanic_client) is None


async def test_windows_that_ended_can_be_removed(sanic_client: LiveServer, clock: MovableClock) -> None:
    await hit(sanic_client)
    assert await change(sanic_client, limits.delete_ended_windows, now=clock.now(), max_rows=9) == 0
    clock.move(seconds=61)
    assert await change(sanic_client, limits.delete_ended_windows, now=clock.now(), max_rows=9) == 1


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=365)])
async def test_a_clock_that_was_ahead_locks_nobody_out_and_frees_nobody(
    sanic_client: LiveServer, clock: MovableClock, ahead: timedelta
) -> None:
    clock.move(seconds=ahead.total_seconds())
    assert [await hit(sanic_client) is None for _ in range(4)] == [True, True, True, False]
    assert await hit(sanic_client, "with one left") is None
    clock.move(seconds=-ahead.total_seconds())

    # Put right, what was counted stands, for as long as a new window would.
    waits = [await hit(sanic_client) for _ in range(3)]
    assert [58 <= (wait or 0) <= 60 for wait in waits] == [True] * 3
    assert [await hit(sanic_client, "with one left") is None for _ in range(3)] == [True, True, False]
    clock.move(seconds=61)
    assert [await hit(sanic_client) is None for _ in range(4)] == [True, True, True, False]


async def test_a_clock_that_is_put_back_frees_nobody(sanic_client: LiveServer, clock: MovableClock) -> None:
    assert [await hit(sanic_client) for _ in range(3)] == [None] * 3
    for step in (timedelta(hours=1), timedelta(days=365)):
        clock.move(seconds=-step.total_seconds())
        assert 58 <= (await hit(sanic_client) or 0) <= 60


async def test_a_hit_is_given_back_and_all_are_forgotten(sanic_client: LiveServer) -> None:
    live = sanic_client
    for _ in range(3):
        await hit(live)
    async with live.ctx.write() as conn:
        await give_hit_back(conn, live.ctx, THREE_A_MINUTE, "somebody")
        await give_hit_back(conn, live.ctx, THREE_A_MINUTE, "nobody")
    assert [await hit(live) is None for _ in range(2)] == [True, False]
    async with live.ctx.write() as conn:
        await forget_hits(conn, live.ctx, THREE_A_MINUTE, "somebody")
    assert [await hit(live) is None for _ in range(4)] == [True, True, True, False]
    assert await hit(live, "nobody") is None


def test_a_site_holds_many_networks() -> None:
    assert site_of("2001:db8:1:2::1") == site_of("2001:db8:1:ffff::9") != site_of("2001:db8:2::1")
    assert [site_of(address) for address in ("192.0.2.7", None)] == ["192.0.2.7", ""]


def test_whoever_holds_a_network_is_counted_once() -> None:
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9") != network_of("2001:db8:1:3::1")
    assert [network_of(address) for address in ("192.0.2.7", "a socket", None)] == ["192.0.2.7", "a socket", ""]


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("[2001:db8:1:2::1]", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]:4711", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:192.0.2.7]", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("_hidden", "_hidden"),
        ("[", "["),
        ("[zz]", "[zz]"),
    ],
)
def test_an_address_is_counted_however_a_proxy_writes_it(written: str, place: str) -> None:
    assert network_of(written) == place
