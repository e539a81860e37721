"""Strangers: whatever they send, as often as they like, leaves no more rows than their address may have."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from httpx2 import Response
from support.builders import activated, licensed
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.operators import browser
from support.rows import row_counts

from app.database.key_holds import confirm_key_holds
from app.services.idempotency import KeptAnswer, Repeatable, hold_key, settle
from app.settings import Settings

TIMES = 6
LIMIT = 3
LIMITS = {
    "rate_limits": "on",
    "refusal_hold_seconds": 0.0,
    "unknown_codes_per_minute": LIMIT,
    "one_time_passwords_per_address": LIMIT,
    "one_time_password_guesses_per_address": LIMIT,
    "sign_ins_per_address": LIMIT,
}


def new() -> str:
    return uuid.uuid4().hex


def kinds_of_requests(live: LiveServer, slug: str) -> dict[str, Callable[[], Awaitable[Response]]]:
    """What anybody may send, each time with other names and another key."""
    http = live.http

    def posted(path: str, **body: Any) -> Awaitable[Response]:
        return http.post(path, json=body, headers={"idempotency-key": new()})

    async def signed_in(path: str, **fields: str) -> Response:
        async with browser(live) as person:
            return await person.send("/admin/login", path, **fields)

    device = {"hw_fingerprint": "hardware-1"}
    token = {"device_id": 1, "refresh_token": new()}
    return {
        "unknown code": lambda: posted("/authz/activate", tenant_slug=slug, activation_code=new(), **device),
        "unknown tenant": lambda: posted("/authz/activate", tenant_slug=new(), activation_code=new(), **device),
        "no code": lambda: posted("/authz/activate", tenant_slug=slug, **device),
        "refresh of another": lambda: posted("/authz/refresh", tenant_slug=slug, **token),
        "refresh of nobody": lambda: posted("/authz/refresh", tenant_slug=new(), **token),
        "branding": lambda: http.get(f"/licenses/branding/{new()}"),
        "one-time password": lambda: posted("/api/tenant/auth/otp/generate", tenant_slug=new()),
        "guess": lambda: posted("/api/tenant/auth/otp/verify", tenant_slug=new(), otp_code="123456"),
        "webhook": lambda: posted("/billing/stripe/webhook", id=new()),
        "graphql": lambda: posted("/graphql", query="mutation { deleteTemplate(templateId: 1) { id } }"),
        "operator": lambda: signed_in("/auth/local", email=f"{new()}@example.com", password="not the password"),
        "link": lambda: signed_in("/auth/link", token=new(), password="not the password", repeated="no"),
    }


async def test_what_strangers_send_is_not_kept_beyond_a_bound(settings: Settings, clock: MovableClock) -> None:
    grown: dict[str, dict[str, int]] = {}
    statuses: dict[str, list[int]] = {}
    async with live_server(settings.model_copy(update=LIMITS), clock) as live:
        tenant = await licensed(live)
        for name, send in kinds_of_requests(live, tenant.slug).items():
            # The limits of the kinds before have passed.
            clock.move(hours=2)
            before = await row_counts(live)
            statuses[name] = [(await send()).status_code for _ in range(TIMES)]
            after = await row_counts(live)
            grown[name] = {table: after[table] - before[table] for table in after if after[table] > before[table]}

    assert {name: more for name, more in grown.items() if more} == {
        # A window for the address; of each name that was let through its own, that from here, and that of its code's
        # guesses; and the messages.
        "one-time password": {"rate_windows": 1 + 2 * LIMIT, "deliveries": LIMIT},
        "guess": {"rate_windows": 1 + 3 * LIMIT},
        "operator": {"rate_windows": 1 + LIMIT},
        "link": {"rate_windows": 1},
    }
    assert {status for answered in statuses.values() for status in answered} <= {200, 400, 401, 404, 422, 429}


async def test_names_of_tenants_are_guessed_so_often_a_minute(settings: Settings) -> None:
    async with live_server(settings.model_copy(update=LIMITS)) as live:
        device = await activated(live)
        kinds = kinds_of_requests(live, device.tenant.slug)
        first = [(await kinds[name]()).status_code for name in ("unknown tenant", "branding", "refresh of nobody")]
        # Now nothing tells whether there is such a tenant, and a device goes on.
        then = {(await kinds[name]()).status_code for name in kinds if name.startswith(("unknown", "brand", "refresh"))}
        shown = await live.http.get(f"/licenses/branding/{device.tenant.slug}")
        policy = await live.http.get("/licenses/policy", headers=device.headers)

    assert first == [404] * LIMIT
    assert then == {429}
    assert (shown.status_code, policy.status_code) == (429, 200)


async def test_a_refusal_that_has_changed_something_is_kept(sanic_client: LiveServer) -> None:
    ctx, asked = sanic_client.ctx, Repeatable("refresh", new(), "POST", "/authz/refresh?", b"{}")
    answer = KeptAnswer(403, "application/problem+json", {}, b"{}")
    for is_changed in (False, True):
        hold = await hold_key(ctx, asked)
        assert not isinstance(hold, KeptAnswer)
        if is_changed:
            async with ctx.write() as conn:
                await confirm_key_holds(conn, [hold], sanic_client.runtime.clock)
        await settle(ctx, hold, answer)

    assert await hold_key(ctx, asked) == answer
