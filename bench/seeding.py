"""The customers of a bench: a thousand tenants with a code each, ten thousand devices, and tokens of five hundred."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
from sqlalchemy import insert

from app.access.keys import fingerprint_hash
from app.context import Actor, Context
from app.runtime import Runtime
from app.services.billing.plans import ensure_plan
from app.services.licensing import code_text
from app.services.licensing.enrollment import family_row
from app.services.licensing.token_pairs import new_refresh_token
from sql.tables import activation_codes, devices, refresh_families, subscriptions, tenants

TENANTS = 1_000
DEVICES_EACH = 10
PLAN = "Bench"
QUOTA = 50
MAX_USES = 1_000_000


@dataclass(frozen=True)
class SeededTenant:
    """A tenant and its code, which has many uses left."""

    id: int
    slug: str
    code: str


@dataclass(frozen=True)
class SeededDevice:
    """A device, and an access token that outlives the bench."""

    tenant: SeededTenant
    id: int
    hw_fingerprint: str
    access_token: str


@dataclass(frozen=True)
class Fleet:
    """Whom the load comes from: ``asking`` is a device of every second tenant, ``spare`` ones of the others."""

    runtime: Runtime
    tenants: list[SeededTenant]
    asking: list[SeededDevice]
    spare: list[SeededDevice]

    @property
    def ctx(self) -> Context:
        """An operator's context."""
        return Context(self.runtime, Actor("operator", "bench"))


async def seed(runtime: Runtime) -> Fleet:
    """Fill an empty, migrated database."""
    await runtime.tokens.load()
    plan, _ = await ensure_plan(Context(runtime, Actor("operator", "bench")), name=PLAN, price_id="bench", quota=QUOTA)
    made = await _tenants(runtime, plan.id)
    bound = await _devices(runtime, made)
    if not runtime.db.is_sqlite:
        await _gather_statistics(runtime)
    granted = {"plan": PLAN, "monthly_run_quota": QUOTA, "subscription_state": "active"}
    first_of_each = [
        SeededDevice(tenant, device_id, hardware, runtime.tokens.issue(tenant.id, device_id, granted))
        for tenant, device_id, hardware in bound[:TENANTS]
    ]
    return Fleet(runtime, made, first_of_each[::2], first_of_each[1::2])


async def refresh_tokens(fleet: Fleet, count: int) -> list[tuple[SeededDevice, str]]:
    """Fresh refresh tokens, each of a family of its own."""
    now = fleet.runtime.clock.now()
    keys = fleet.runtime.keys
    given = [(device, new_refresh_token(keys)) for device in itertools.islice(itertools.cycle(fleet.asking), count)]
    rows = [family_row(fleet.runtime, token, device.tenant.id, device.id, now) for device, token in given]
    async with fleet.runtime.db.write() as conn:
        await conn.insert_all(insert(refresh_families), rows)
    return [(device, token.text) for device, token in given]


async def _tenants(runtime: Runtime, plan_id: int) -> list[SeededTenant]:
    now = datetime.now(UTC)
    stamps = {"created_at": now, "updated_at": now}
    slugs = [f"bench-{number:04}" for number in range(TENANTS)]
    shown = {"logo_url": "https://cdn.example/logo.svg", "primary_color": "#1a2b3c", "domain": "app.example"}
    async with runtime.db.write() as conn:
        stored = await conn.insert_all(
            insert(tenants).returning(tenants.c.id, tenants.c.slug),
            [{"name": slug, "slug": slug, **shown, **stamps} for slug in slugs],
        )
        made = [SeededTenant(row.id, row.slug, code_text.new_code()) for row in sorted(stored)]
        held = {"plan_id": plan_id, "state": "active", "seats_used": DEVICES_EACH, **stamps}
        await conn.insert_all(insert(subscriptions), [{"tenant_id": tenant.id, **held} for tenant in made])
        rows = [
            {
                "tenant_id": tenant.id,
                "code_hash": runtime.keys.code_hash(tenant.code),
                "hint": code_text.hint(tenant.code),
                "max_uses": MAX_USES,
                "created_at": now,
            }
            for tenant in made
        ]
        await conn.insert_all(insert(activation_codes), rows)
    return made


async def _devices(runtime: Runtime, made: Sequence[SeededTenant]) -> list[tuple[SeededTenant, int, str]]:
    """The first device of each tenant, then the second of each, and so on."""
    now = datetime.now(UTC)
    hardware = [(tenant, f"{tenant.slug}-{number}") for number in range(DEVICES_EACH) for tenant in made]
    told = {fingerprint_hash(text): (tenant, text) for tenant, text in hardware}
    bound = []
    async with runtime.db.write() as conn:
        for some in _parts(list(told.items()), 1_000):
            rows: list[dict[str, Any]] = [
                {"tenant_id": tenant.id, "hw_fingerprint": hashed, "last_seen": now, "created_at": now}
                for hashed, (tenant, _) in some
            ]
            stored = await conn.insert_all(insert(devices).returning(devices.c.id, devices.c.hw_fingerprint), rows)
            made_now = [(*told[row.hw_fingerprint], row.id) for row in sorted(stored)]
            # Every device in the field holds a refresh token.
            families = [
                family_row(runtime, new_refresh_token(runtime.keys), tenant.id, device_id, now)
                for tenant, _, device_id in made_now
            ]
            await conn.insert_all(insert(refresh_families), families)
            bound += made_now
    return [(tenant, device_id, text) for tenant, text, device_id in bound]


def _parts(rows: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


async def _gather_statistics(runtime: Runtime) -> None:
    """What the server would do by itself within a minute, and then in the middle of a round."""
    dsn = runtime.db.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
