"""Strangers who know a tenant's slug: what they can use up, how many of them it takes, and who gets in all the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from support.clocks import MovableClock
from support.live import LiveServer
from support.places import Place, behind_a_proxy, browser_at, strangers
from support.rows import row_counts
from support.sign_in import code_in, deliver_all, mailed, reachable, wrong

from app.services.tenants.known_browsers import cookie_name, known_browser
from app.settings import Settings
from app.settings.sign_in import MAX_GUESSES_OF_STRANGERS

COOKIE = "known_"
# As docs/tenants.md says: a first-time owner is kept out by so many addresses.
FOR_CODES, FOR_GUESSES = 4, 6


@pytest.fixture
async def live(settings: Settings, clock: MovableClock) -> AsyncIterator[LiveServer]:
    """A server behind one proxy."""
    async with behind_a_proxy(settings, clock) as server:
        yield server


async def newest_code(live: LiveServer) -> str:
    """What the last mail says, once everything was sent."""
    await deliver_all(live)
    return code_in((await mailed(live))[0].text)


async def signs_in(live: LiveServer, place: Place, slug: str) -> None:
    """Ask for a code and type it."""
    assert (await place.generate(slug)).status_code == 200
    assert (await place.verify(slug, await newest_code(live))).status_code == 200


async def test_few_strangers_use_up_only_their_own_codes(live: LiveServer, clock: MovableClock) -> None:
    for slug in ((await reachable(live)).slug, "nobody-has-this"):
        async with strangers(live, FOR_CODES) as some, browser_at(live, "203.0.113.7") as owner:
            asked = [await place.generate(slug) for place in some[:-1] for _ in range(4)]
            assert [answer.status_code for answer in asked] == [200, 200, 200, 429] * (FOR_CODES - 1)
            assert (await owner.generate(slug)).status_code == 200
            # With the last of them, the total is reached: for an hour, and whoever asks.
            asked = [await some[-1].generate(slug) for _ in range(3)]
            assert [answer.status_code for answer in asked] == [200, 200, 429]
            refused = await owner.generate(slug)
            assert (refused.status_code, refused.json()["errorCode"]) == (429, "rate_limited")
            assert "a browser that has signed in with it before" in refused.json()["detail"]
            assert 0 < int(refused.headers["retry-after"]) <= 3600
        clock.move(hours=1, seconds=1)
        async with browser_at(live, "203.0.113.7") as owner:
            assert (await owner.generate(slug)).status_code == 200
    assert (await row_counts(live))["deliveries"] == 2 * (12 + 1)


async def test_few_strangers_use_up_only_their_own_guesses(live: LiveServer, clock: MovableClock) -> None:
    slug = (await reachable(live)).slug
    async with strangers(live, FOR_GUESSES) as some, browser_at(live, "203.0.113.7") as owner:
        await owner.generate(slug)
        code = await newest_code(live)
        for place in some[:-1]:
            assert [(await place.verify(slug, wrong(code))).status_code for _ in range(7)] == [401] * 7
        # None of them has burnt the owner's code, which is good on another device too.
        async with browser_at(live, "203.0.113.8") as laptop:
            assert (await laptop.verify(slug, code)).status_code == 200
        clock.move(minutes=11)
        for place, expected in ((place, [401] * (3 if place in some[:-1] else 5)) for place in some):
            guessed = [(await place.verify(slug, "000000")).status_code for _ in range(5)]
            assert guessed == expected + [429] * (5 - len(expected))
        clock.move(minutes=11)
        assert [(await some[-1].verify(slug, "000000")).status_code for _ in range(4)] == [401, 401, 401, 429]
        # So many addresses keep a first-time owner out, until the day is over.
        await owner.generate(slug)
        refused = await owner.verify(slug, await newest_code(live))
        assert (refused.status_code, refused.json()["errorCode"]) == (429, "rate_limited")
    clock.move(days=1)
    async with browser_at(live, "203.0.113.7") as owner:
        await signs_in(live, owner, slug)


async def test_the_answers_to_guesses_do_not_tell_who_is_known(live: LiveServer) -> None:
    told = []
    for slug in ((await reachable(live)).slug, "nobody-has-this"):
        async with strangers(live, FOR_GUESSES + 1) as some:
            answers = [await place.verify(slug, "000000") for place in some for _ in range(5)]
            answers += [await place.generate(slug) for place in some for _ in range(4)]
            answers += [await place.verify(slug, "000000") for place in some for _ in range(5)]
        kept = {"requestId", "retry_after", "detail", "remedy"}
        told.append(
            [
                (answer.status_code, {name: value for name, value in answer.json().items() if name not in kept})
                for answer in answers
            ]
        )

    assert told[0] == told[1]
    statuses = Counter(status for status, _ in told[0])
    assert statuses[401] >= 48
    assert statuses[429] > 0


async def test_strangers_never_pass_their_total_at_once(live: LiveServer) -> None:
    slug = (await reachable(live)).slug
    async with strangers(live, 20) as some:
        asked = await asyncio.gather(*(place.generate(slug) for place in some for _ in range(3)))
        assert Counter(answer.status_code for answer in asked) == {200: 12, 429: 48}
        guessed = await asyncio.gather(*(place.verify(slug, "000000") for place in some for _ in range(5)))
        assert Counter(answer.status_code for answer in guessed) == {401: 48, 429: 52}
    assert 2 * MAX_GUESSES_OF_STRANGERS / 10**6 < 1e-4


async def test_a_browser_that_has_signed_in_gets_in_whatever_strangers_do(
    live: LiveServer, clock: MovableClock
) -> None:
    slug = (await reachable(live)).slug
    async with browser_at(live, "203.0.113.7") as owner, strangers(live, 10) as some:
        await signs_in(live, owner, slug)
        clock.move(days=30)
        for place in some:
            for _ in range(3):
                await place.generate(slug)
            for _ in range(5):
                await place.verify(slug, "000000")
        async with browser_at(live, "203.0.113.7") as another:
            assert (await another.generate(slug)).status_code == 429
            assert (await another.verify(slug, "000000")).status_code == 429
        await signs_in(live, owner, slug)
        # From another address, and beside strangers who share it and have used up all that the address has.
        less = {"one_time_passwords_per_address": 1, "one_time_password_guesses_per_address": 1}
        live.runtime.settings = live.runtime.settings.model_copy(update=less)
        assert (await some[0].generate("another")).status_code == 429
        assert (await some[0].verify("another", "000000")).status_code == 429
        owner.http.headers["x-forwarded-for"] = "198.51.0.1"
        await signs_in(live, owner, slug)
        assert [(await owner.generate(slug)).status_code for _ in range(2)] == [200, 429]


async def test_a_known_browser_has_a_share_too(live: LiveServer, clock: MovableClock) -> None:
    slug = (await reachable(live)).slug
    async with browser_at(live, "203.0.113.7") as owner:
        await signs_in(live, owner, slug)
        statuses = []
        for _ in range(5):
            clock.move(minutes=21)
            await owner.generate(slug)
            statuses += [(await owner.verify(slug, wrong(await newest_code(live)))).status_code for _ in range(5)]
        assert Counter(statuses) == {401: 20, 429: 5}
        clock.move(days=1)
        await signs_in(live, owner, slug)


async def test_known_browsers_share_a_total_however_many_somebody_has_collected(
    live: LiveServer, clock: MovableClock
) -> None:
    slug = (await reachable(live)).slug
    async with AsyncExitStack() as stack:
        known = [await stack.enter_async_context(browser_at(live, f"203.0.113.{number}")) for number in range(3)]
        for place in known:
            await signs_in(live, place, slug)
        statuses: Counter[int] = Counter()
        for _ in range(4):
            clock.move(minutes=21)
            for place in known:
                await place.generate(slug)
                code = wrong(await newest_code(live))
                statuses.update([(await place.verify(slug, code)).status_code for _ in range(5)])
        assert statuses == {401: 48, 429: 12}
        # Whoever has never signed in there has another total.
        await signs_in(live, await stack.enter_async_context(browser_at(live, "203.0.113.9")), slug)
        clock.move(days=1)
        await signs_in(live, known[0], slug)


async def test_the_cookie_signs_nobody_in_and_is_good_for_its_tenant_alone(
    live: LiveServer, clock: MovableClock
) -> None:
    first, second = await reachable(live), await reachable(live)
    async with browser_at(live, "203.0.113.7") as owner:
        await owner.generate(first.slug)
        answer = await owner.verify(first.slug, await newest_code(live))
        cookie = answer.headers["set-cookie"]
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=lax", "path=/api/tenant/auth", f"max-age={180 * 86400}"} <= parts
        name, _, value = cookie.partition(";")[0].partition("=")
        assert name.startswith(COOKIE)
        for path in ("/api/tenant/auth/session", "/api/tenant/profile", "/auth/me"):
            sent = {"cookie": f"{name}={value}; session={value}", "x-session-token": value}
            assert (await owner.http.get(path, headers=sent)).status_code == 401

        other = f"{name[: len(COOKIE)]}{'0' * 16}"
        forged = value[:-1] + ("A" if value[-1] != "A" else "B")
        clock.move(hours=2)
        for shown, slug, is_known in (
            (f"{name}={value}", first.slug, True),
            (f"{name}=x; {name}={value}", first.slug, True),
            (f"{name}={forged}", first.slug, False),
            (f"{name}={value}.x", first.slug, False),
            (f"{other}={value}", first.slug, False),
            (f"{name}={value}", second.slug, False),
            (f"{cookie_name(second.slug)}={value}", second.slug, False),
        ):
            async with browser_at(live, "203.0.113.9") as there:
                statuses = []
                for _ in range(4):
                    asked = {"tenant_slug": slug}
                    there.http.cookies.clear()
                    got = await there.http.post("/api/tenant/auth/otp/generate", json=asked, headers={"cookie": shown})
                    statuses.append(got.status_code)
                assert statuses == [200, 200, 200, 429], shown
                # Who is known has used nothing of what the address has.
                assert (await there.generate(slug)).status_code == (200 if is_known else 429), shown
            clock.move(hours=1, seconds=1)
        assert await known_browser(live.ctx, first.slug, [value]) is not None
        clock.move(days=-365)
        # A mark that a clock gave which stood ahead.
        assert await known_browser(live.ctx, first.slug, [value]) is None
        clock.move(days=365 + 181)
        async with browser_at(live, "203.0.113.9") as there:
            there.http.headers["cookie"] = f"{name}={value}"
            assert [(await there.generate(first.slug)).status_code for _ in range(4)] == [200, 200, 200, 429]
            there.http.headers.pop("cookie")
            assert (await there.generate(first.slug)).status_code == 429


async def test_a_site_is_one_place(live: LiveServer) -> None:
    slug = (await reachable(live)).slug
    for number, status in enumerate((200, 200, 200, 429)):
        async with browser_at(live, f"2001:db8:7:{number}::1") as place:
            assert (await place.generate(slug)).status_code == status
    async with browser_at(live, "2001:db8:8::1") as place:
        assert (await place.generate(slug)).status_code == 200
