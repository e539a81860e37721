"""What several worker processes must agree on at the edge: who has a key, and how much of a limit is left."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select
from support.builders import Licensed
from support.processes import ServerProcess, served
from support.redis import redis_server

from app.services.billing.plans import ensure_plan
from app.services.billing.subscriptions import link_subscription
from app.services.licensing.codes import generate_codes
from app.services.tenants.onboarding import ensure_tenant
from sql.tables import activation_codes, devices, refresh_families

pytestmark = pytest.mark.processes
AT_ONCE = 100
MOST = 40


async def test_workers_create_one_thing_and_keep_one_limit(database: str, tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        limits = {"PORTAL_RATE_LIMITS": "on", "PORTAL_DEVICE_REQUESTS_PER_MINUTE": str(MOST)}
        more = {"PORTAL_REDIS_URL": redis.url, "PORTAL_REFUSAL_HOLD_SECONDS": "0"}
        async with served(database, tmp_path, workers=2, **limits, **more) as server:
            access_token = await a_hundred_requests_with_one_key(server)
            await more_requests_than_allowed(server, access_token)
            assert not server.events("request_failed")
            assert not server.events("redis_does_not_answer")


async def tenant_on(server: ServerProcess) -> Licensed:
    await ensure_plan(server.ctx, name="Edge", price_id="price_edge", quota=10)
    tenant, _ = await ensure_tenant(server.ctx, name="Edge", slug="edge")
    await link_subscription(server.ctx, tenant_slug=tenant.slug, plan_name="Edge")
    return Licensed(tenant.slug, tenant.id, "Edge", await generate_codes(server.ctx, tenant.slug, max_uses=AT_ONCE))


async def a_hundred_requests_with_one_key(server: ServerProcess) -> str:
    """One device, one use, one token family, and the same tokens for everybody who is answered."""
    tenant = await tenant_on(server)
    body = {"tenant_slug": tenant.slug, "activation_code": tenant.codes[0], "hw_fingerprint": "hardware-1"}
    headers = {"idempotency-key": "the-one-key"}

    answers = await asyncio.gather(
        *(server.http.post("/authz/activate", json=body, headers=headers) for _ in range(AT_ONCE))
    )

    assert {answer.status_code for answer in answers} <= {200, 409}
    tokens = {answer.json()["refresh_token"] for answer in answers if answer.status_code == 200}
    assert len(tokens) == 1
    async with server.ctx.read() as conn:
        for table in (devices, refresh_families):
            question = select(func.count()).where(table.c.tenant_id == tenant.tenant_id)
            assert (await conn.rows(question))[0][0] == 1
        uses = select(activation_codes.c.use_count).where(activation_codes.c.tenant_id == tenant.tenant_id)
        assert (await conn.rows(uses))[0][0] == 1
    again = await server.http.post("/authz/activate", json=body, headers=headers)
    assert (again.headers["idempotent-replayed"], {again.json()["refresh_token"]}) == ("true", tokens)
    return str(again.json()["access_token"])


async def more_requests_than_allowed(server: ServerProcess, access_token: str) -> None:
    """Exactly as many as one may ask are answered, whichever worker they reach."""
    if (left := 60 - time.time() % 60) < 10:
        await asyncio.sleep(left)
    headers = {"authorization": f"Bearer {access_token}"}

    answers = await asyncio.gather(*(server.http.get("/licenses/policy", headers=headers) for _ in range(2 * MOST)))

    assert Counter(answer.status_code for answer in answers) == {200: MOST, 429: MOST}
    remaining = [int(answer.headers["ratelimit-remaining"]) for answer in answers if answer.status_code == 200]
    assert sorted(remaining) == list(range(MOST))
