"""Limits: a device asks so often and so fast, an address guesses so often, and nobody else pays for it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from support.builders import Licensed, activate, activated, licensed, refresh
from support.clocks import MovableClock
from support.journey import until
from support.live import LiveServer, live_server

from app.commands.checks import cautions
from app.errors import RateLimitedError
from app.limits.rate_limits import Allowance, RateLimits
from app.limits.rate_windows import HitResult, MemoryWindow, Pace, RateLimit
from app.services.licensing.code_text import new_code
from app.settings import Settings


@pytest.fixture
async def strict(settings: Settings, clock: MovableClock) -> AsyncIterator[LiveServer]:
    """A server that allows ten requests of a device and five wrong codes of an address a minute."""
    limits = {
        "rate_limits": "on",
        "device_requests_per_minute": 10,
        "unknown_codes_per_minute": 5,
        "refusal_hold_seconds": 0.0,
    }
    async with live_server(settings.model_copy(update=limits), clock) as live:
        yield live


async def guess(live: LiveServer, tenant: Licensed, times: int) -> list[int]:
    """The statuses of activations with codes that nobody has."""
    answers = await asyncio.gather(*(activate(live, tenant, code=new_code()) for _ in range(times)))
    return [answer.status_code for answer in answers]


def test_a_device_may_ask_six_hundred_times_a_minute_by_default(settings: Settings) -> None:
    assert (settings.rate_limits, settings.device_requests_per_minute) == ("on", 600)
    assert settings.unknown_codes_per_minute == 1000


async def test_a_device_that_asks_too_often_is_told_to_wait(strict: LiveServer) -> None:
    device = await activated(strict)

    answers = [await strict.http.get("/licenses/policy", headers=device.headers) for _ in range(15)]

    assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 5}
    refused = answers[-1]
    assert refused.json()["errorCode"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["retry_after"] == int(refused.headers["retry-after"])


async def test_a_device_is_told_what_is_left(strict: LiveServer) -> None:
    device = await activated(strict)

    answers = [await strict.http.get("/licenses/policy", headers=device.headers) for _ in range(12)]
    usage = await strict.http.get(f"/usage/{device.tenant.slug}", headers=device.headers)

    assert {answer.headers["ratelimit-limit"] for answer in (*answers, usage)} == {"10"}
    assert [int(answer.headers["ratelimit-remaining"]) for answer in answers] == [*range(9, -1, -1), 0, 0]
    assert all(1 <= int(answer.headers["ratelimit-reset"]) <= 60 for answer in (*answers, usage))
    assert answers[-1].headers["ratelimit-reset"] == answers[-1].headers["retry-after"]


async def test_who_is_not_counted_is_told_nothing_of_limits(strict: LiveServer) -> None:
    tenant = await licensed(strict)
    answers = [await strict.http.get("/healthz"), await strict.http.get(f"/licenses/branding/{tenant.slug}")]

    assert not [name for answer in answers for name in answer.headers if name.startswith("ratelimit")]


def test_a_window_slides_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    window = MemoryWindow(RateLimit("some", 10))
    now = [6000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])

    assert [window.hit("a").left for _ in range(12)] == [*range(9, -1, -1), -1, -1]
    assert window.hit("b").left == 9
    now[0] += 90
    assert [window.hit("a", counts=False).left, window.hit("a").left] == [4, 4]
    now[0] += 120
    assert window.hit("a").left == 9


def test_who_is_faster_than_the_pace_waits_for_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three at once, then two a second; one that would wait for more than a second is not counted."""
    window = MemoryWindow(RateLimit("some", 100, pace=Pace(apart=0.5, ahead=1, patience=1)))
    now = [6000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])

    def waits(times: int) -> list[float]:
        return [window.hit("a").wait for _ in range(times)]

    assert waits(6) == [0, 0, 0, 0.5, 1, 1.5]
    assert window.hit("b") == HitResult(99, 0)
    assert window.hit("a", counts=False) == HitResult(94, 1.5)
    now[0] += 1
    assert waits(2) == [0.5, 1]
    now[0] += 3
    assert waits(5) == [0, 0, 0, 0.5, 1]


def test_a_clock_that_is_set_back_costs_nobody_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    window = MemoryWindow(RateLimit("some", 100, pace=Pace.of(2, patience=1)))
    now = [6050.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    assert [window.hit("a").wait for _ in range(3)] == [0, 0, 0.5]

    now[0] -= 30

    assert [window.hit("a").wait for _ in range(3)] == [0, 0, 0.5]


def test_the_pace_outlasts_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    window = MemoryWindow(RateLimit("some", 100, pace=Pace.of(1, patience=9)))
    now = [6059.5]
    monkeypatch.setattr(time, "time", lambda: now[0])

    before = [window.hit("a").wait for _ in range(3)]
    now[0] += 1

    assert (before, window.hit("a").wait) == ([0, 1, 2], 2)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds for which somebody was to wait, on a clock that stands still, and for which nobody does."""
    asked: list[float] = []

    async def pause(limits: RateLimits, seconds: float) -> bool:
        asked.append(seconds)
        return True

    monkeypatch.setattr(RateLimits, "_pause", pause)
    monkeypatch.setattr(time, "time", lambda: 6000.0)
    return asked


async def refusals(limits: RateLimits, times: int) -> list[RateLimitedError]:
    """What the refused ones of so many requests of one device were told."""
    answers = await asyncio.gather(*(limits.count_device_request(1) for _ in range(times)), return_exceptions=True)
    assert all(isinstance(answer, Allowance | RateLimitedError) for answer in answers)
    return [answer for answer in answers if isinstance(answer, RateLimitedError)]


async def test_a_fast_device_waits_for_its_turns_and_is_refused_only_when_they_are_far_away(
    settings: Settings, pauses: list[float]
) -> None:
    """Two at once, then two a second for those who wait up to ten seconds."""
    paced = {"device_requests_per_second": 2, "device_wait_seconds": 10, "refusal_hold_seconds": 0.0}
    limits = RateLimits(settings.model_copy(update=paced))

    assert await refusals(limits, 22) == []
    assert pauses == [number / 2 for number in range(1, 21)]
    assert [refused.values for refused in await refusals(limits, 2)] == [{"retry_after": 11, "limit": 2}] * 2


async def test_who_is_refused_is_held_and_not_all_equally_long(settings: Settings, pauses: list[float]) -> None:
    for limited in ({"device_requests_per_minute": 1}, {"device_requests_per_second": 1, "device_wait_seconds": 0}):
        limits = RateLimits(settings.model_copy(update={"refusal_hold_seconds": 2.0, **limited}))
        pauses.clear()

        assert len(await refusals(limits, 21)) == len(pauses) == 20
        assert all(1 <= held <= 2 for held in pauses)
        assert len(set(pauses)) > 10


async def test_a_device_gets_all_its_requests_however_fast_it_asks(settings: Settings, clock: MovableClock) -> None:
    paced = {"device_requests_per_minute": 30, "device_requests_per_second": 20}
    async with live_server(settings.model_copy(update=paced), clock) as live:
        device = await activated(live)
        answers = await asyncio.gather(*(live.http.get("/licenses/policy", headers=device.headers) for _ in range(30)))

    assert {answer.status_code for answer in answers} == {200}


async def test_all_routes_of_a_device_count_together(strict: LiveServer) -> None:
    device = await activated(strict)
    for _ in range(10):
        await strict.http.get(f"/usage/{device.tenant.slug}", headers=device.headers)

    answer = await strict.http.post("/licenses/heartbeat", headers=device.headers, json={"hw_fingerprint": "x"})

    assert answer.status_code == 429


async def test_devices_behind_one_address_do_not_share_their_limit(strict: LiveServer) -> None:
    tenant = await licensed(strict, max_uses=50)
    devices = [await activated(strict, tenant, f"hardware-{number}") for number in range(20)]

    answers = await asyncio.gather(
        *(strict.http.get("/licenses/policy", headers=device.headers) for device in devices for _ in range(5))
    )

    assert {answer.status_code for answer in answers} == {200}


async def test_refreshes_are_limited_by_what_the_token_proves(strict: LiveServer) -> None:
    """Writing a victim's id beside an own token costs the victim nothing."""
    tenant = await licensed(strict, max_uses=50)
    victim = await activated(strict, tenant, "victim")
    attacker = await activated(strict, tenant, "attacker")

    attacks = [await refresh(strict, attacker, device_id=victim.device_id) for _ in range(15)]

    assert Counter(answer.status_code for answer in attacks) == {401: 10, 429: 5}
    assert (await strict.http.get("/licenses/policy", headers=victim.headers)).status_code == 200
    assert (await refresh(strict, victim)).status_code == 200


async def test_an_address_that_guesses_codes_is_told_to_wait(strict: LiveServer) -> None:
    tenant = await licensed(strict)
    for _ in range(5):
        await guess(strict, tenant, 1)

    answer = await activate(strict, tenant, code=new_code())

    assert (answer.status_code, answer.json()["errorCode"]) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1


async def test_the_holder_of_a_network_guesses_as_one(settings: Settings) -> None:
    limits = {"unknown_codes_per_minute": 5, "refusal_hold_seconds": 0.0, "proxies_count": 1}
    async with live_server(settings.model_copy(update=limits)) as live:
        tenant = await licensed(live)
        statuses = []
        for address in [*(f"2001:db8::{host}" for host in range(1, 8)), "2001:db8:0:1::1"]:
            body = {"tenant_slug": tenant.slug, "activation_code": new_code(), "hw_fingerprint": "hardware-1"}
            sent = {"x-forwarded-for": address}
            statuses.append((await live.http.post("/authz/activate", json=body, headers=sent)).status_code)

    assert (set(statuses[:5]), statuses[5:]) == ({statuses[0]}, [429, 429, statuses[0]])
    assert statuses[0] != 429


async def test_unknown_tenants_count_as_guesses_wherever_anybody_may_name_one(settings: Settings) -> None:
    limits = {"unknown_codes_per_minute": 3, "refusal_hold_seconds": 0.0, "proxies_count": 1}
    async with live_server(settings.model_copy(update=limits)) as live:
        tenant = await licensed(live)

        async def asked(way: str, slug: str, address: str) -> tuple[int, str | None]:
            sent = {"x-forwarded-for": address}
            token = {"device_id": 1, "refresh_token": "not ours"}
            code = {"activation_code": new_code(), "hw_fingerprint": "hardware-1"}
            body = {"tenant_slug": slug, **(token if way == "refresh" else code)}
            if way == "branding":
                answer = await live.http.get(f"/licenses/branding/{slug}", headers=sent)
            else:
                answer = await live.http.post(f"/authz/{way}", json=body, headers=sent)
            return answer.status_code, answer.json().get("errorCode")

        for number, way in enumerate(("activate", "refresh", "branding")):
            address = f"192.0.2.{number}"
            listed = [await asked(way, f"slug-{one}", address) for one in range(3)]
            assert listed == [(404, "tenant_not_found")] * 3
            # From then on nobody there is told whether there is such a tenant, in whichever way they ask.
            for other in ("activate", "refresh", "branding"):
                for slug in (tenant.slug, "slug-4"):
                    assert await asked(other, slug, address) == (429, "rate_limited")
        assert (await asked("branding", tenant.slug, "192.0.2.9"))[0] == 200


async def test_who_guesses_at_once_guesses_no_more(strict: LiveServer) -> None:
    tenant = await licensed(strict)

    codes = await guess(strict, tenant, 30)
    slugs = await asyncio.gather(*(strict.http.get(f"/licenses/branding/slug-{number}") for number in range(30)))

    assert Counter(codes) == {400: 5, 429: 25}
    assert {answer.status_code for answer in slugs} == {429}


async def test_who_asks_beside_many_is_not_refused_for_it(strict: LiveServer) -> None:
    tenant = await licensed(strict, codes=30)
    for _ in range(4):
        await guess(strict, tenant, 1)

    # More than may be wrong, but none is.
    answers = await asyncio.gather(*(activate(strict, tenant, f"hw-{n}", tenant.codes[n]) for n in range(30)))
    guesses = [(await guess(strict, tenant, 1))[0] for _ in range(2)]

    assert Counter(answer.status_code for answer in answers) == {200: 30}
    assert guesses == [400, 429]


async def test_right_codes_never_count(strict: LiveServer) -> None:
    tenant = await licensed(strict, codes=20)
    used_up = await activate(strict, tenant, "first")

    answers = [await activate(strict, tenant, f"hardware-{n}", tenant.codes[n]) for n in range(1, 20)]
    denied = [await activate(strict, tenant, f"other-{n}") for n in range(10)]

    assert used_up.status_code == 200
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["errorCode"] for answer in denied} == {"activation_code_used_up"}


async def test_switched_off_nothing_is_limited(settings: Settings, clock: MovableClock) -> None:
    off = {"rate_limits": "off", "device_requests_per_minute": 1, "unknown_codes_per_minute": 1}
    async with live_server(settings.model_copy(update=off), clock) as live:
        device = await activated(live)
        answers = [await live.http.get("/licenses/policy", headers=device.headers) for _ in range(5)]
        guesses = await guess(live, device.tenant, 5)

    assert {answer.status_code for answer in answers} == {200}
    assert set(guesses) == {400}


async def test_who_is_refused_waits_for_it_and_only_so_many_do(settings: Settings) -> None:
    held = {"device_requests_per_minute": 1, "refusal_hold_seconds": 10.0, "max_held_requests": 2}
    limits = RateLimits(settings.model_copy(update=held))
    await limits.count_device_request(1)

    waiting = [asyncio.create_task(limits.count_device_request(1)) for _ in range(2)]
    await asyncio.sleep(0.1)
    with pytest.raises(RateLimitedError):
        await limits.count_device_request(1)

    assert not any(task.done() for task in waiting)
    waiting.pop().cancel()
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(limits.count_device_request(1)))
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()


async def test_who_waits_for_a_turn_when_the_server_stops_is_answered(settings: Settings, clock: MovableClock) -> None:
    paced = {"device_requests_per_second": 2, "device_wait_seconds": 30}
    async with live_server(settings.model_copy(update=paced), clock) as live:
        device = await activated(live)
        asking = [asyncio.create_task(live.http.get("/licenses/policy", headers=device.headers)) for _ in range(50)]
        await until(lambda: live.runtime.rate_limits._held >= 40)
        await live.runtime.drain()
        answers = await asyncio.gather(*asking)

    assert Counter(answer.status_code for answer in answers) == {200: 50}


async def test_more_than_may_wait_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    paced = {"device_requests_per_second": 2, "device_wait_seconds": 10, "max_held_requests": 3}
    limits = RateLimits(settings.model_copy(update=paced))
    monkeypatch.setattr(time, "time", lambda: 6000.0)

    asking = [asyncio.create_task(limits.count_device_request(1)) for _ in range(7)]
    await asyncio.sleep(0)
    refused = [task.exception() for task in asking if task.done() and task.exception()]
    await limits.release()

    assert [type(error) for error in refused] == [RateLimitedError] * 2
    assert len(await asyncio.gather(*asking, return_exceptions=True)) == 7


def test_the_doctor_says_when_the_pace_keeps_the_minute_out_of_reach(settings: Settings) -> None:
    slow = settings.model_copy(update={"device_requests_per_second": 9})

    found = [finding.check for finding in cautions(settings)], [finding.detail for finding in cautions(slow)]

    assert found == ([], ["600 cannot be reached: device_requests_per_second allows 540"])
