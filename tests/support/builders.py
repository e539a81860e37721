"""One-line arrangements: a tenant with a plan and codes, a device that is activated."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from support.live import LiveServer

from app.services.billing.plans import seed_plan
from app.services.billing.subscriptions import link_subscription
from app.services.licensing.issue import generate_codes
from app.services.tenants.directory import add_tenant


@dataclass(frozen=True)
class Licensed:
    """A tenant with a subscription and the codes that were made for it."""

    slug: str
    tenant_id: int
    plan: str
    codes: list[str]


@dataclass(frozen=True)
class Activated:
    """A device and its tokens."""

    tenant: Licensed
    device_id: int
    hw_fingerprint: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        """What the device sends with each request."""
        return {"authorization": f"Bearer {self.access_token}"}


async def licensed(
    live: LiveServer,
    *,
    codes: int = 1,
    max_uses: int = 1,
    max_devices: int | None = None,
    quota: int = 50,
    state: str = "active",
    ttl_days: int | None = None,
) -> Licensed:
    """A new tenant on a plan of its own."""
    name = uuid.uuid4().hex[:8]
    plan = f"Plan {name}"
    await seed_plan(live.ctx, name=plan, price_id=f"price_{name}", quota=quota, max_devices=max_devices)
    tenant, _ = await add_tenant(live.ctx, name=f"Tenant {name}", slug=f"tenant-{name}")
    await link_subscription(live.ctx, tenant_slug=tenant.slug, plan_name=plan, state=state)
    made = await generate_codes(live.ctx, tenant.slug, count=codes, max_uses=max_uses, ttl_days=ttl_days)
    return Licensed(tenant.slug, tenant.id, plan, made)


async def activated(
    live: LiveServer, tenant: Licensed | None = None, hw_fingerprint: str = "hardware-1", code: str | None = None
) -> Activated:
    """A device of the tenant, or of a new one, with its tokens."""
    tenant = tenant or await licensed(live, max_uses=100)
    body = {
        "tenant_slug": tenant.slug,
        "activation_code": code or tenant.codes[0],
        "hw_fingerprint": hw_fingerprint,
    }
    answer = await live.http.post("/authz/activate", json=body)
    assert answer.status_code == 200, answer.text
    pair = answer.json()
    return Activated(tenant, pair["device_id"], hw_fingerprint, pair["access_token"], pair["refresh_token"])
