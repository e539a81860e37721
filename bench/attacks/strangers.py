"""Strangers: slugs that are tried one after the other, and rows that they leave."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from math import ceil

from httpx2 import Response

from bench.attacks.target import Finding, Ground, Target, faults_of, target, together

A_MINUTE, TRIED, AT_ONCE = 200, 600, 100


async def unknown_tenants(ground: Ground) -> list[Finding]:
    """Slugs that nobody has, at each operation that anybody may call, each of a server that has seen no stranger."""
    found = []
    for name, ask in WAYS.items():
        async with target(ground, PORTAL_UNKNOWN_CODES_PER_MINUTE=str(A_MINUTE)) as server:

            async def one(slug: str, server: Target = server, ask: Way = ask) -> Response:
                return await ask(server, slug)

            began = time.monotonic()
            answers = await together([f"nobody-{number}" for number in range(TRIED)], one, at_once=AT_ONCE)
            seconds = time.monotonic() - began
        limited = sum(answer.status_code == 429 for answer in answers)
        # A minute that slides gives some back meanwhile.
        allowed = ceil(A_MINUTE * (1 + seconds / 60))
        through = max(0, TRIED - limited - allowed)
        told = f"{allowed} are allowed in these {seconds:.0f} s, {limited} were 429"
        found.append(Finding(f"slugs tried at {name}", TRIED, through, faults_of(answers), told))
    return found


Way = Callable[[Target, str], Awaitable[Response]]


async def activation(server: Target, slug: str) -> Response:
    """An activation with a key of its own."""
    body = {"tenant_slug": slug, "activation_code": "AAAA-AAAA-AAAA-AAAA", "hw_fingerprint": "machine"}
    return await server.http.post("/authz/activate", headers={"idempotency-key": uuid.uuid4().hex}, json=body)


async def refreshing(server: Target, slug: str) -> Response:
    """A refresh with a token that nobody was given."""
    body = {"tenant_slug": slug, "device_id": 1, "refresh_token": f"{uuid.uuid4()}.secret.mark"}
    return await server.http.post("/authz/refresh", json=body)


async def branding(server: Target, slug: str) -> Response:
    """What anybody may see of a tenant."""
    return await server.http.get(f"/licenses/branding/{slug}")


WAYS: dict[str, Way] = {"activation": activation, "refresh": refreshing, "branding": branding}
