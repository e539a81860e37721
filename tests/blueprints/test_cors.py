"""Cross-origin calls: browsers of allowed pages get through on every answer, others learn nothing, nobody else pays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from httpx2 import Response
from support.admin import operator_cookie
from support.builders import activated, licensed
from support.clocks import MovableClock
from support.live import LiveServer, live_server

from app.services.tenants import branding
from app.settings import Settings

DEFAULTS = [f"http://{host}:{port}" for host in ("localhost", "127.0.0.1", "[::1]") for port in (3000, 3001, 3002)]
FOREIGN = [
    "https://evil.example",
    "http://localhost.evil.example:3000",
    "http://localhost:3000.evil.example",
    "http://localhost:3000@evil.example",
    "http://localhost:",
    "http://localhost:99999999",
    "https://localhost:3000",
    "null",
    "",
    "*",
]


@pytest.fixture
async def production(settings: Settings, clock: MovableClock) -> AsyncIterator[LiveServer]:
    """A server in production, whose own address is https and which trusts one origin more."""
    changes = {
        "environment": "production",
        "public_url": "https://portal.example.com",
        "allowed_origins": ("https://app.example.com",),
    }
    async with live_server(settings.model_copy(update=changes), clock) as live:
        yield live


async def preflight(live: LiveServer, origin: str, path: str = "/graphql") -> Response:
    """The answer to what a browser asks before it posts JSON with a bearer token."""
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    return await live.http.options(path, headers=asked)


async def test_a_preflight_of_an_allowed_page_is_granted_on_every_path(sanic_client: LiveServer) -> None:
    paths = ("/graphql", "/authz/activate", "/usage/acme", "/api/tenant/auth/session", "/nothing/at/all", "/docs", "/")

    answers = {
        (origin, path): await preflight(sanic_client, origin, path)
        for origin in (*DEFAULTS, "http://LOCALHOST:3000", "http://localhost:5173", "http://localhost")
        for path in paths
    }

    for (origin, path), answer in answers.items():
        assert (answer.status_code, answer.content) == (200, b""), (origin, path)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE, OPTIONS, PATCH"
        assert set(answer.headers["access-control-allow-headers"].split(", ")) == {
            "content-type",
            "x-session-token",
            "authorization",
            "idempotency-key",
            "if-match",
            "last-event-id",
            "x-request-id",
        }
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["access-control-max-age"] == "3600"
        assert answer.headers["vary"] == "origin"


async def test_a_preflight_of_another_page_is_refused(sanic_client: LiveServer) -> None:
    answers = [await preflight(sanic_client, origin) for origin in FOREIGN]

    assert {(answer.status_code, answer.headers["content-type"].partition(";")[0]) for answer in answers} == {
        (403, "text/plain")
    }
    assert not [answer for answer in answers if "access-control-allow-origin" in answer.headers]


async def test_in_production_only_configured_origins_and_the_portals_own_are_allowed(production: LiveServer) -> None:
    allowed = [
        await preflight(production, origin) for origin in ("https://app.example.com", "HTTPS://Portal.Example.com")
    ]
    refused = [await preflight(production, origin) for origin in (*DEFAULTS, *FOREIGN)]

    assert [answer.status_code for answer in allowed] == [200, 200]
    assert {answer.status_code for answer in refused} == {403}


async def test_options_without_an_origin_lists_the_methods_of_an_address(sanic_client: LiveServer) -> None:
    known = await sanic_client.http.options("/authz/activate")
    unknown = await sanic_client.http.options("/nothing")

    assert (known.status_code, known.content) == (204, b"")
    assert set(known.headers["allow"].split(", ")) == {"POST", "OPTIONS"}
    assert "content-type" not in known.headers
    assert (unknown.status_code, unknown.json()["errorCode"]) == (404, "not_found")


async def answers_of_every_kind(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> dict[int, Response]:
    """Answers from every place that makes one: handlers, refusals, the framework, faults of ours, pages."""
    device = await activated(live)
    get = live.http.get
    found = [
        await get("/licenses/policy", headers={**device.headers, **headers}),
        await get("/licenses/policy", headers=headers),
        await live.http.post("/authz/activate", headers=headers, json={}),
        await live.http.post("/authz/activate", headers=headers, content=b"{"),
        await get("/nothing", headers=headers),
        await live.http.delete("/licenses/policy", headers=headers),
        await get("/docs", headers=headers),
        await get("/metrics", headers=headers),
    ]

    async def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(branding, "branding", fail)
    found.append(await get("/licenses/branding/acme", headers=headers))
    assert [answer.status_code for answer in found] == [200, 401, 422, 400, 404, 405, 200, 200, 500]
    return dict(enumerate(found))


async def test_a_preflight_with_a_body_is_answered_and_is_no_error(
    sanic_client: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [
        await sanic_client.http.request("OPTIONS", "/healthz", headers=headers, content=b"a body")
        for headers in ({"origin": DEFAULTS[0]}, {})
    ]

    assert [answer.status_code for answer in answers] == [200, 204]
    assert (await sanic_client.http.get("/healthz")).status_code == 200
    assert [record for record in caplog.records if record.name.startswith("sanic")] == []


async def test_an_allowed_page_can_read_answers_refusals_and_faults_alike(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = "http://localhost:3000"

    answers = await answers_of_every_kind(sanic_client, monkeypatch, {"origin": origin})

    for answer in answers.values():
        assert answer.headers["access-control-allow-origin"] == origin, answer.url
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert {"x-request-id", "retry-after", "ratelimit-remaining", "idempotent-replayed"} <= set(
            answer.headers["access-control-expose-headers"].split(", ")
        )
        assert answer.headers.get_list("vary") == ["origin"]


async def test_another_page_can_read_nothing_and_neither_is_anything_said_without_an_origin(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for headers in ({"origin": "https://evil.example"}, {}):
        answers = await answers_of_every_kind(sanic_client, monkeypatch, headers)
        monkeypatch.undo()

        said = {name for answer in answers.values() for name in answer.headers if name.startswith("access-control")}
        assert said == set()


async def test_an_answer_that_takes_too_long_can_be_read_too(
    settings: Settings, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(branding, "branding", never)
    async with live_server(settings.model_copy(update={"response_timeout_seconds": 1}), clock) as live:
        answer = await live.http.get("/licenses/branding/acme", headers={"origin": "http://localhost:3000"})

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (503, "http://localhost:3000")


async def test_a_cookie_signs_changes_only_from_configured_origins(sanic_client: LiveServer) -> None:
    """Any port of this machine may read in development; to change something with a cookie it must be configured."""
    tenant = await licensed(sanic_client)
    statuses = {}
    for origin in (None, "https://evil.example", "http://localhost:5173", "http://localhost:3002", "own"):
        headers = await operator_cookie(sanic_client, "owner", origin=origin)
        answer = await sanic_client.http.post(
            f"/usage/{tenant.slug}/events",
            headers=headers,
            json={"events": [{"id": "a", "kind": "run", "quantity": 1}]},
        )
        statuses[origin] = answer.status_code

    assert statuses == {
        None: 403,
        "https://evil.example": 403,
        "http://localhost:5173": 403,
        "http://localhost:3002": 200,
        "own": 200,
    }


async def test_a_server_in_production_with_nothing_set_trusts_its_own_pages_alone(settings: Settings) -> None:
    values = settings.model_dump() | {"environment": "production", "public_url": "https://portal.example.com"}
    values |= {"secret_key": "abcdefghijklmnopqrstuvwxyz0123456789", "rate_limits": "on"}
    async with live_server(Settings(**(values | {"allowed_origins": ()}))) as live:
        cookie = await operator_cookie(live, origin=None)
        for origin, granted, changed in (
            ("https://portal.example.com", 200, 422),
            ("http://localhost:3000", 403, 403),
            ("http://127.0.0.1:3002", 403, 403),
            ("null", 403, 403),
        ):
            assert (await preflight(live, origin)).status_code == granted, origin
            sent = {**cookie, "origin": origin}
            answer = await live.http.post("/admin/api/plans", headers=sent, json={})
            assert answer.status_code == changed, (origin, answer.text)
            reads = "access-control-allow-origin" in answer.headers
            assert reads == (granted == 200), origin
