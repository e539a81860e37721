"""What lasts until a moment is over at that moment, and was good an instant before."""

from __future__ import annotations

from datetime import timedelta

import pytest
from httpx2 import Response
from support.builders import activate, activated, licensed, refresh, report, run_event
from support.clocks import StandingClock
from support.live import LiveServer

from app.services.licensing.code_list import list_codes

INSTANT = timedelta(microseconds=1)


@pytest.fixture
def clock() -> StandingClock:
    """The server's clock, which stands still."""
    return StandingClock()


def told(*answers: Response) -> list[tuple[int, str | None]]:
    return [(answer.status_code, answer.json().get("errorCode")) for answer in answers]


async def test_a_code_has_expired_at_the_moment_it_expires_at(sanic_client: LiveServer, clock: StandingClock) -> None:
    tenant = await licensed(sanic_client, codes=2, max_uses=9, ttl_days=1)
    known = await activated(sanic_client, tenant, "hardware-0")
    clock.move(days=1, microseconds=-1)
    before = await activate(sanic_client, tenant, "hardware-1", tenant.codes[1])
    listed = [code.status for code in (await list_codes(sanic_client.ctx, tenant_slug=tenant.slug)).rows]
    clock.move(microseconds=1)

    at_it = await activate(sanic_client, tenant, "hardware-2", tenant.codes[1])
    known_at_it = await activate(sanic_client, tenant, known.hw_fingerprint, tenant.codes[1])

    expired = (400, "activation_code_expired")
    assert told(before, at_it, known_at_it) == [(200, None), expired, expired]
    listed += [code.status for code in (await list_codes(sanic_client.ctx, tenant_slug=tenant.slug)).rows]
    assert listed == ["active", "active", "expired", "expired"]


async def test_a_refresh_token_has_expired_at_the_moment_it_expires_at(
    sanic_client: LiveServer, clock: StandingClock
) -> None:
    one, other = [await activated(sanic_client) for _ in range(2)]
    clock.move(days=14, microseconds=-1)
    before = await refresh(sanic_client, one)
    clock.move(microseconds=1)

    at_it = await refresh(sanic_client, other)

    assert told(before, at_it) == [(200, None), (401, "refresh_token_expired")]


async def test_an_event_may_be_as_early_and_as_late_as_the_limits_themselves(
    sanic_client: LiveServer, clock: StandingClock
) -> None:
    device = await activated(sanic_client)
    earliest, latest = clock.now() - timedelta(days=35), clock.now() + timedelta(seconds=300)
    moments = [earliest - INSTANT, earliest, latest, latest + INSTANT]

    answer = await report(
        sanic_client, device, *(run_event(f"{place}", at=at.isoformat()) for place, at in enumerate(moments))
    )

    assert [event["status"] for event in answer.json()["events"]] == ["rejected", "accepted", "accepted", "rejected"]
