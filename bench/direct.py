"""Sanic on an asyncpg pool: the same questions, one prepared statement per request, nothing shared between requests.

python -m bench.direct PORT, with the portal's own settings in the environment
"""

from __future__ import annotations

import sys
from typing import Any

import asyncpg
import orjson
from sanic import Request, Sanic
from sanic.response import HTTPResponse

from app.access.access_tokens import DeviceClaims
from app.access.keys import fingerprint_hash
from app.contract.api_document import LARGE_BODY, SMALL_BODY
from app.errors import (
    DeviceAccessRevokedError,
    DeviceUnknownError,
    FingerprintMismatchError,
    PortalError,
    TenantMismatchError,
    TenantNotFoundError,
)
from app.runtime import Runtime
from app.settings import load_settings
from blueprints.licenses import HeartbeatRequest
from blueprints.usage import IngestRequest
from blueprints.web.bodies import bearer_token, read_body

POOL_SIZE = 20

POLICY = """
SELECT d.is_revoked, p.name AS plan_name, p.monthly_run_quota, s.state
FROM devices d
JOIN tenants t ON t.id = d.tenant_id
LEFT JOIN subscriptions s ON s.tenant_id = d.tenant_id AND s.ended_at IS NULL
LEFT JOIN plans p ON p.id = s.plan_id
WHERE d.tenant_id = $1 AND d.id = $2
"""
HEARTBEAT = """
UPDATE devices SET last_seen = $4
WHERE tenant_id = $1 AND id = $2 AND hw_fingerprint = $3 AND NOT is_revoked
RETURNING id
"""
DEVICE = "SELECT is_revoked FROM devices WHERE tenant_id = $1 AND id = $2"
BRANDING = "SELECT logo_url, primary_color, domain FROM tenants WHERE slug = $1"
# Answers whether the device may report for this slug, and whether its event was new.
INGEST = """
WITH device AS (
    SELECT d.tenant_id, d.id, d.is_revoked FROM devices d JOIN tenants t ON t.id = d.tenant_id
    WHERE d.tenant_id = $1 AND d.id = $2 AND t.slug = $3
), stored AS (
    INSERT INTO usage_events (tenant_id, event_id, device_id, kind, quantity, at, day, metadata, received_at)
    SELECT tenant_id, $4, id, $5, $6, $7, $8, $9, $10 FROM device WHERE NOT is_revoked
    ON CONFLICT (tenant_id, event_id) DO NOTHING
    RETURNING event_id
)
SELECT (SELECT is_revoked FROM device) AS is_revoked, EXISTS (SELECT FROM stored) AS is_new
"""


class PlainConnection(asyncpg.Connection):
    """Goes back to the pool as it is: nothing here leaves anything behind that would have to be reset."""

    def get_reset_query(self) -> str:
        """No statement at all."""
        return ""


app: Sanic = Sanic("direct")
runtime = Runtime(load_settings())


@app.before_server_start
async def start(app: Sanic) -> None:
    """Load the keys and open the pool."""
    await runtime.start()
    dsn = runtime.db.url.set(drivername="postgresql").render_as_string(hide_password=False)
    settings = {"timezone": "UTC", "jit": "off"}
    app.ctx.pool = await asyncpg.create_pool(
        dsn, min_size=POOL_SIZE, max_size=POOL_SIZE, connection_class=PlainConnection, server_settings=settings
    )
    app.ctx.statements = 0


async def row(sql: str, *values: Any) -> asyncpg.Record | None:
    """The first row; the statement is prepared once on each connection."""
    app.ctx.statements += 1
    return await app.ctx.pool.fetchrow(sql, *values)


def answer(body: Any, status: int = 200) -> HTTPResponse:
    """A JSON answer."""
    return HTTPResponse(orjson.dumps(body), status, content_type="application/json")


async def device_of(request: Request) -> DeviceClaims:
    """What the shown token says; verified once and remembered, as the portal does."""
    return await runtime.tokens.verify(bearer_token(request))


@app.exception(PortalError)
async def problem(request: Request, failure: PortalError) -> HTTPResponse:
    """The error's code with its status."""
    return answer({"errorCode": failure.code}, failure.status)


@app.get("/licenses/policy")
async def policy(request: Request) -> HTTPResponse:
    """What the device may do."""
    device = await device_of(request)
    found = await row(POLICY, device.tenant_id, device.device_id)
    if found is None:
        raise DeviceUnknownError
    if found["is_revoked"]:
        raise DeviceAccessRevokedError
    return answer(
        {
            "plan_name": found["plan_name"],
            "monthly_run_quota": found["monthly_run_quota"] or 0,
            "subscription_state": found["state"] or "none",
        }
    )


@app.post("/licenses/heartbeat")
async def heartbeat(request: Request) -> HTTPResponse:
    """Store that the device is alive."""
    device = await device_of(request)
    body = read_body(request, HeartbeatRequest, SMALL_BODY)
    key = device.tenant_id, device.device_id
    if await row(HEARTBEAT, *key, fingerprint_hash(body.hw_fingerprint), runtime.clock.now()) is not None:
        return answer({"ok": True})
    found = await row(DEVICE, *key)
    if found is None:
        raise DeviceUnknownError
    raise DeviceAccessRevokedError if found["is_revoked"] else FingerprintMismatchError


@app.post("/usage/<tenant_slug:str>/events")
async def ingest(request: Request, tenant_slug: str) -> HTTPResponse:
    """Store one event, once."""
    device = await device_of(request)
    (event,) = read_body(request, IngestRequest, LARGE_BODY).events
    now = runtime.clock.now()
    at = min(event.at or now, now)
    metadata = None if event.metadata is None else orjson.dumps(event.metadata).decode()
    found = await row(
        INGEST,
        device.tenant_id,
        device.device_id,
        tenant_slug,
        event.id,
        event.kind,
        event.quantity,
        at,
        at.astimezone(runtime.zone).date(),
        metadata,
        now,
    )
    if found is None or found["is_revoked"] is None:
        raise TenantMismatchError
    if found["is_revoked"]:
        raise DeviceAccessRevokedError
    status = "accepted" if found["is_new"] else "duplicate"
    counts = {"accepted": int(found["is_new"]), "duplicate": int(not found["is_new"]), "rejected": 0}
    return answer({**counts, "events": [{"id": event.id, "status": status, "detail": None}]})


@app.get("/licenses/branding/<tenant_slug:str>")
async def branding(request: Request, tenant_slug: str) -> HTTPResponse:
    """A tenant's logo, colour and domain."""
    found = await row(BRANDING, tenant_slug)
    if found is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return answer(dict(found))


@app.get("/bench/statements")
async def statements(request: Request) -> HTTPResponse:
    """How many SQL statements this process has sent so far."""
    return answer(app.ctx.statements)


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), single_process=True, access_log=False, motd=False)
