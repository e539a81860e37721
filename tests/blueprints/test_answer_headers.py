"""What every answer carries: no guessing of types, no frames, no caches for what is not for everybody."""

from __future__ import annotations

import pytest
from httpx2 import Response
from support.builders import activate, activated, licensed, refresh
from support.clocks import MovableClock
from support.live import LiveServer, live_server

from app.settings import Settings


async def answers(live: LiveServer) -> dict[str, Response]:
    """One answer of each kind."""
    tenant = await licensed(live, max_uses=10)
    device = await activated(live, tenant)
    return {
        "activation": await activate(live, tenant, "hardware-2"),
        "refresh": await refresh(live, device),
        "policy": await live.http.get("/licenses/policy", headers=device.headers),
        "refusal": await live.http.get("/licenses/policy"),
        "nothing": await live.http.get("/nothing"),
        "unknown branding": await live.http.get("/licenses/branding/nobody"),
        "branding": await live.http.get(f"/licenses/branding/{tenant.slug}"),
        "openapi": await live.http.get("/openapi.json"),
        "jwks": await live.http.get("/.well-known/jwks.json"),
        "page": await live.http.get("/docs"),
        "style": await live.http.get("/static/docs.css"),
    }


async def test_no_answer_lets_a_browser_guess_its_type(sanic_client: LiveServer) -> None:
    found = await answers(sanic_client)

    assert {name: answer.headers["x-content-type-options"] for name, answer in found.items()} == dict.fromkeys(
        found, "nosniff"
    )


async def test_only_what_is_for_everybody_may_be_kept_by_a_cache(sanic_client: LiveServer) -> None:
    found = await answers(sanic_client)

    kept = {name for name, answer in found.items() if answer.headers.get("cache-control") != "no-store"}
    assert kept == {"branding", "openapi", "jwks", "page", "style"}
    assert found["jwks"].headers["cache-control"] == "public, max-age=300"
    assert {found[name].headers["vary"] for name in kept} == {"origin"}


async def test_a_page_stays_out_of_frames_and_tells_nobody_where_it_was(sanic_client: LiveServer) -> None:
    page = await sanic_client.http.get("/docs")

    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-frame-options"] == "DENY"
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["frame-ancestors"] == "'none'"
    assert "'unsafe-inline'" not in policy.get("script-src", policy["default-src"])


@pytest.mark.parametrize(
    ("environment", "public_url", "expected"),
    [
        ("production", "https://portal.example.com", "max-age=31536000"),
        ("production", "http://portal.example.com", None),
        ("development", "https://portal.example.com", None),
    ],
)
async def test_https_is_demanded_where_the_portal_has_it(
    settings: Settings, clock: MovableClock, environment: str, public_url: str, expected: str | None
) -> None:
    changed = settings.model_copy(update={"environment": environment, "public_url": public_url})
    async with live_server(changed, clock) as live:
        told = [await live.http.get(path) for path in ("/healthz", "/licenses/policy", "/docs", "/nothing")]

    assert {answer.headers.get("strict-transport-security") for answer in told} == {expected}


async def test_no_header_is_said_twice(sanic_client: LiveServer) -> None:
    for name, answer in (await answers(sanic_client)).items():
        sent = [header.lower() for header, _ in answer.headers.multi_items()]
        assert len(sent) == len(set(sent)), (name, sent)
